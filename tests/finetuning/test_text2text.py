"""`albert train --task text2text`: what it reads and refuses, and a model that writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from albert.config import DecoderConfig
from albert.data.batches import IGNORED
from albert.data.pairs import PairFeatures
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import FinetuneResult
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.finetuning.pairs import read_pairs
from albert.finetuning.source import PairSource
from albert.finetuning.text2text import Text2TextObjective
from albert.model import AlbertForTask, AlbertForText2Text, load_text2text, save_model
from albert.predict.writer import Writer
from albert.tasks.losses import LossConfig, LossShape
from albert.tasks.text2text import Text2Text
from albert.text.tokenizer import AlbertTokenizer
from albert.training.parts import LoopConfig
from conftest import small_config
from rewriting import NETWORK, pairs, write_pairs, write_vocabulary
from rows import features


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


def config(data: Path, out: Path, vocabulary: Path | None, *, options: Any = None, **given: Any) -> FinetuneConfig:
    settings = {**NETWORK, "epochs": 1.0, **given.pop("settings", {})}
    start = {} if vocabulary is None else {"size": "tiny", "tokenizer": str(vocabulary)}
    source = DataSource(str(data), **{"task": "text2text", **(options or {})})
    return FinetuneConfig(train=source, out=out, **{"metric": "exact_match", **start, **given}, settings=settings)


def refused(data: Path, tmp_path: Path, vocabulary: Path, **given: Any) -> AlbertError:
    with pytest.raises(AlbertError) as caught:
        finetune(config(data, tmp_path / "out", vocabulary, **given))
    assert not (tmp_path / "out").exists()
    assert "\n" not in str(caught.value) or caught.value.kind is ErrorKind.DATA
    return caught.value


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"label_smoothing": 0.1, "focal": 2.0}])
def test_the_loss_and_its_gradients_are_torchs_over_real_pieces(options: dict[str, float]) -> None:
    generator = torch.Generator().manual_seed(0)
    model = AlbertForText2Text(small_config(decoder=DecoderConfig(decoder_layers=2), id2label=()), generator=generator)
    source = [[5, 9, 7], [8, 6, 5, 30, 11]]
    sources = [(np.array(ids), np.zeros(len(ids), int)) for ids in source]
    empty = PairFeatures(features([1]), features([1]), begin=2, end=3)
    batch = empty.with_rows(sources, [np.array([7, 8, 9, 10]), np.array([12])]).batch([0, 1])
    shape = LossShape(LossConfig(**options))
    found = Text2TextObjective(Text2Text(), shape).sums(model.eval(), batch)["loss"]
    hidden = model(batch.input_ids, batch.target_ids, attention_mask=batch.attention_mask,
                   token_type_ids=batch.token_type_ids)  # fmt: skip
    losses = torch.nn.functional.cross_entropy(
        model.logits(hidden).flatten(0, 1), batch.gold.flatten(), reduction="none", ignore_index=IGNORED,
        label_smoothing=options.get("label_smoothing", 0.0),
    )  # fmt: skip
    if options.get("focal"):
        wanted = batch.gold.flatten().clamp_min(0)
        right = model.logits(hidden).flatten(0, 1).softmax(1).gather(1, wanted[:, None]).squeeze(1)
        losses = losses * (1 - right) ** 2
    torch.testing.assert_close(found, losses.sum())
    parameters = [one for one in model.parameters() if one.requires_grad]
    ours = torch.autograd.grad(found, parameters, allow_unused=True)
    for mine, torchs in zip(ours, torch.autograd.grad(losses.sum(), parameters, allow_unused=True), strict=True):
        assert (mine is None) == (torchs is None)
        if mine is not None and torchs is not None:
            torch.testing.assert_close(mine, torchs, atol=1e-4, rtol=1e-4)


# --- reading -------------------------------------------------------------------------------------------------


def table(path: Path, *rows: tuple[str, ...]) -> Path:
    path.write_text("\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "options", "columns"),
    [
        (("source", "target"), {}, ("source", "target")),
        (("tgt", "id", "src"), {}, ("src", "tgt")),
        (("en", "de"), {"header": True}, ("en", "de")),
        (("en", "de"), {"text": "de", "header": True}, ("de", "en")),
        (("a", "b", "c"), {"text": "b", "label": "a"}, ("b", "a")),
        (("summary", "text", "title"), {}, ("text", "summary")),
    ],
)
def test_columns_are_known_by_their_names(
    tmp_path: Path, vocabulary: Path, header: tuple[str, ...], options: dict[str, Any], columns: tuple[str, str]
) -> None:
    rows = [tuple(f"{name} {number}" for name in header) for number in range(20)]
    data = table(tmp_path / "data.csv", header, *rows)
    read = read_pairs(config(data, tmp_path, vocabulary, options=options), AlbertTokenizer.from_pretrained(vocabulary),
                      positions=64, seed=0)  # fmt: skip
    assert (read.columns.text, read.columns.label) == columns
    assert read.train_rows + len(read.dev_examples) == 20


def test_columns_that_could_be_any_are_asked_for(tmp_path: Path, vocabulary: Path) -> None:
    data = table(tmp_path / "data.csv", ("x", "y", "z"), *[(f"a {n}", f"b {n}", f"c {n}") for n in range(9)])
    error = refused(data, tmp_path, vocabulary, options={"header": True})
    assert "which columns are source and target?" in error.what
    assert "--text COLUMN" in str(error)


def test_several_targets_are_rows_to_learn_from_and_references_to_score_by(tmp_path: Path, vocabulary: Path) -> None:
    train, dev = tmp_path / "train.jsonl", tmp_path / "dev.jsonl"
    train.write_text('{"source": "eins zwei", "target": ["1-2", "12"]}\n{"source": "drei", "target": "3"}\n')
    dev.write_text('{"source": "vier", "target": ["4", "four"]}\n')
    read = read_pairs(config(train, tmp_path, vocabulary, dev=str(dev)), AlbertTokenizer.from_pretrained(vocabulary),
                      positions=64, seed=0)  # fmt: skip
    assert (len(read.train), read.train_rows, len(read.dev)) == (3, 2, 1)
    assert read.dev_examples[0].gold == ("4", "four")


def test_two_files_of_lines(tmp_path: Path, vocabulary: Path) -> None:
    first, second = tmp_path / "train.a", tmp_path / "train.b"
    first.write_text("eins\nzwei\ndrei\n", encoding="utf-8")
    second.write_text("1\n2\n3\n", encoding="utf-8")
    given = config(first, tmp_path, vocabulary, options={"task": None}, targets=str(second))
    assert given.train.task == "text2text"
    read = read_pairs(given, AlbertTokenizer.from_pretrained(vocabulary), positions=64, seed=0)
    assert {(one.text, one.gold) for one in read.dev_examples} < {("eins", ("1",)), ("zwei", ("2",)), ("drei", ("3",))}


@pytest.mark.parametrize(
    ("sources", "targets", "told"),
    [
        ("eins\nzwei\ndrei\n", "1\n2\n", "3 and 2"),
        ("eins\n", "1\n2\n3\n", "1 and 3"),
        ("eins\n\ndrei\n", "1\n2\n3\n", ":2: an empty source"),
        ("eins\nzwei\n", "1\n  \n", ":2: an empty target"),
        ("", "", "lines of text"),
    ],
)
def test_lines_that_are_no_pairs_are_refused(
    tmp_path: Path, vocabulary: Path, sources: str, targets: str, told: str
) -> None:
    first, second = tmp_path / "train.a", tmp_path / "train.b"
    first.write_text(sources, encoding="utf-8")
    second.write_text(targets, encoding="utf-8")
    error = refused(first, tmp_path, vocabulary, targets=str(second))
    assert error.kind is ErrorKind.DATA
    assert told in str(error)


@pytest.mark.parametrize("bad", ['""', "null", "[]", '["1", ""]', "{}", "true"])
def test_a_row_without_a_target_is_refused_with_its_place(tmp_path: Path, vocabulary: Path, bad: str) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text(f'{{"source": "eins", "target": "1"}}\n{{"source": "zwei", "target": {bad}}}\n')
    error = refused(data, tmp_path, vocabulary)
    assert error.kind is ErrorKind.DATA
    assert "data.jsonl:2" in str(error)
    assert "target" in str(error)


def test_an_empty_source_is_refused_with_its_place(tmp_path: Path, vocabulary: Path) -> None:
    data = table(tmp_path / "data.csv", ("source", "target"), ("eins", "1"), ("", "2"), ("drei", "3"))
    assert "data.csv:3: no text" in str(refused(data, tmp_path, vocabulary))


def test_a_target_beyond_the_positions_is_refused_with_its_place(tmp_path: Path, vocabulary: Path) -> None:
    rows = [("eins", "1"), ("zwei", "-".join("2" * 40)), ("drei", "-".join("3" * 90)), ("vier", "4")] * 3
    error = refused(table(tmp_path / "d.csv", ("source", "target"), *rows), tmp_path, vocabulary)
    assert error.kind is ErrorKind.DATA
    assert "a target beyond the model's positions: expected at most 31 pieces" in str(error)
    assert "d.csv:" in error.what


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"fallback": "other"}, "--fallback"),
        ({"early_exit": True}, "--early-exit"),
        ({"hybrid": True}, "--hybrid"),
        ({"few_labels": True}, "--few-labels"),
        ({"teachers": ("starter",)}, "--teacher"),
        ({"options": {"stride": 8}}, "--stride"),
        ({"options": {"choices": "target"}}, "--choices"),
        ({"metric": "accuracy"}, "bleu, chrf, exact_match, rouge_l"),
        ({"options": {"max_length": 33}}, "at most the model's 32"),
        ({"settings": {"decoder_layers": 2, "decoder_groups": 5}}, "decoder_groups"),
        ({"settings": {"class_weights": "balanced"}}, "class_weights"),
        ({"dev_targets": "x"}, "--dev-targets"),
        ({"targets": "x", "dev": "y"}, "--dev-targets beside it"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, vocabulary: Path, given: dict[str, Any], told: str
) -> None:
    assert told in str(refused(write_pairs(tmp_path / "pairs.csv", 20), tmp_path, vocabulary, **given))


def test_what_the_vocabulary_cannot_write_is_told(tmp_path: Path) -> None:
    data = table(tmp_path / "d.csv", ("source", "target"), *[(f"house {n}", f"Häuser {n} 漢") for n in range(20)])
    read = read_pairs(config(data, tmp_path, None), AlbertTokenizer.english(), positions=64, seed=0)
    assert any("can only be written otherwise" in remark and "--keep-accents" in remark for remark in read.remarks)
    assert any("characters that the vocabulary lacks" in remark for remark in read.remarks)


# --- batches -------------------------------------------------------------------------------------------------


def test_batches_hold_begin_end_and_the_budget_of_both_sides(tmp_path: Path, vocabulary: Path) -> None:
    data = write_pairs(tmp_path / "pairs.csv", 200)
    read = read_pairs(config(data, tmp_path, vocabulary), AlbertTokenizer.from_pretrained(vocabulary), positions=32,
                      seed=0)  # fmt: skip
    source = PairSource(read.train, LoopConfig(batch_size=16, max_tokens=120))
    seen = 0
    for step in range(source.steps_per_epoch):
        for batch in source.micro_batches(step):
            rows, wide = batch.input_ids.shape
            seen += rows
            assert rows == 1 or rows * (wide + batch.gold.shape[1]) <= 120
            for read_row, gold in zip(batch.target_ids.tolist(), batch.gold.tolist(), strict=True):
                real = [piece for piece in gold if piece != IGNORED]
                assert read_row[0] == 2
                assert real[-1] == 3
                assert read_row[1 : len(real)] == real[:-1]
    assert seen == len(read.train)


# --- training ------------------------------------------------------------------------------------------------


@pytest.mark.ci
def test_a_model_starts_from_an_encoder_and_goes_on_from_a_writer(tmp_path: Path, vocabulary: Path) -> None:
    tokenizer = AlbertTokenizer.from_pretrained(vocabulary)
    encoder = tmp_path / "encoder"
    save_model(AlbertForTask(small_config(vocab_size=tokenizer.vocab_size, id2label=()), "masked_lm"), encoder)
    tokenizer.save(encoder)
    data = write_pairs(tmp_path / "pairs.csv", 40)
    few = {"settings": {"steps": 2, **{name: NETWORK[name] for name in ("precision", "lr")}}}

    def train(start: Path, name: str, **settings: Any) -> FinetuneResult:
        source = DataSource(str(data), task="text2text")
        return finetune(FinetuneConfig(train=source, out=tmp_path / name, init=str(start), metric="exact_match",
                                       settings={**few["settings"], **settings}))  # fmt: skip

    first = train(encoder, "first", share_with_encoder=True)
    network = load_text2text(first.folder)
    assert network.config.decoder is not None
    assert network.config.decoder.share_with_encoder
    second = load_text2text(train(first.folder, "second", sampling_alpha=0.3).folder)
    assert second.config.decoder == network.config.decoder
    with pytest.raises(AlbertError, match="hidden_size of"):
        train(encoder, "third", hidden_size=64)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, vocabulary: Path) -> tuple[Path, FinetuneResult]:
    """A model that has learned to write numbers, in seconds."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_pairs(folder / "pairs.csv", 700)
    return data, finetune(config(data, folder / "model", vocabulary, settings={"epochs": 14.0}))


@pytest.mark.ci
def test_a_tiny_network_learns_to_write_exactly(trained: tuple[Path, FinetuneResult]) -> None:
    _, result = trained
    assert result.scores["exact_match"] > 0.95
    writer = Writer.load(result.folder)
    unseen = [pair for pair in pairs(1000) if pair not in pairs(700)][:100]
    said = [answer["text"] for answer in writer([source for source, _ in unseen])]
    assert np.mean([text == target for text, (_, target) in zip(said, unseen, strict=True)]) > 0.9
    assert writer("fünf Null Neun")[0]["text"] == "5-0-9"
    stored = json.loads((result.folder / "config.json").read_text())
    assert stored["model_type"] == "albert-text2text"
    assert stored["albert"]["extra"]["task"] == "text2text"


@pytest.mark.ci
def test_its_beam_its_prefix_and_its_pieces(trained: tuple[Path, FinetuneResult]) -> None:
    writer = Writer.load(trained[1].folder)
    beam = writer.writing(beam=4, token_scores=True)
    answers = beam("drei Null eins", top_k=4)
    assert answers[0]["text"] == "3-0-1"
    assert [one["score"] for one in answers] == sorted((one["score"] for one in answers), reverse=True)
    assert len({one["text"] for one in answers}) == len(answers)
    best = answers[0]["tokens"]
    assert best[-1]["token"] == "[SEP]"
    assert answers[0]["score"] == pytest.approx(sum(one["logprob"] for one in best) / len(best), abs=1e-6)
    assert writer.writing(prefix="7-")("drei Null eins")[0]["text"].startswith("7-")
    with pytest.raises(AlbertError, match="prefix 'Ж'"):
        writer.writing(prefix="Ж")("drei")
    cut = writer.writing(max_length=2)
    assert cut("drei Null eins")[0]["cut"]
    assert cut.limited == 1


@pytest.mark.ci
def test_its_figures_come_from_their_words(trained: tuple[Path, FinetuneResult]) -> None:
    """What a figure looks at most is its word, which of two or three words would be rare by chance."""
    writer = Writer.load(trained[1].folder).writing(alignments=True)
    right = []
    for source, target in pairs(1000)[700:800]:
        words = [range(start, start + len(word)) for word, start in _places(source)]
        (answer,) = writer(source)
        figures = [piece for piece in answer["alignments"] if piece["token"].strip("▁-")]
        if answer["text"] == target and len(figures) == len(words):
            right += [piece["sources"][0]["start"] in word for piece, word in zip(figures, words, strict=True)]
    assert len(right) > 100
    assert np.mean(right) > 0.8


def _places(source: str) -> list[tuple[str, int]]:
    words = source.split(" ")
    return [(word, sum(map(len, words[:place])) + place) for place, word in enumerate(words)]
