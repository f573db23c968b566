"""Entities: alignment, loss and scores against their oracles, decoding against transformers' pipeline."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score

from albert.data.batches import IGNORED, Features
from albert.data.examples import Example
from albert.data.spans import Span, spans_over, tags_over
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, save_model
from albert.predict.predictor import Predictor
from albert.tasks import TASKS, DecodeOptions, Lengths
from albert.tasks.base import Output
from albert.tasks.metrics import entity_scores
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import words
from conftest import small_config

NER = TASKS["ner"]
LABELS = ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")
TOKENIZER = AlbertTokenizer.english()


def encoded(examples: list[Example], *, max_length: int = 128, stride: int | None = None) -> Features:
    features, _ = NER.features(TOKENIZER, examples, Lengths(max_length=max_length, stride=stride))
    return features.with_gold(NER.targets(examples, features, LABELS))


def said(gold: np.ndarray) -> np.ndarray:
    """Logits of a head that is sure of the gold and, where there is none, of something else."""
    return np.eye(len(LABELS), dtype=np.float32)[np.where(gold == IGNORED, 1, gold)] * 20


# --- alignment -------------------------------------------------------------------------------------------


def test_the_first_piece_of_a_word_carries_its_label() -> None:
    text = "Wolfgang Amadeus lives in Salzburg."
    features = encoded([Example(text, gold=(Span(0, 16, "PER"), Span(26, 34, "LOC")))])
    labelled = [
        (text[start:end], LABELS[tag])
        for (start, end), tag in zip(features.offsets_of(0), features.gold_of(0), strict=True)
        if tag != IGNORED
    ]
    assert [tag for _, tag in labelled] == ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]
    assert all(word.startswith(part) for (part, _), word in zip(labelled, ["Wolfgang", "Amadeus", "lives", "in",
                                                                          "Salzburg", "."], strict=True))  # fmt: skip
    assert len(features.gold_of(0)) > len(labelled) + 2  # rare names have several pieces
    assert NER.count(torch.from_numpy(features.gold_of(0))) == len(labelled)


TEXTS = st.text(st.sampled_from("abcdefgzIN 'é9,.-!ß\u0301\ufb01\u00a0 "), min_size=1, max_size=60)


@given(TEXTS, st.data())
def test_gold_survives_alignment_and_decoding(text: str, data: st.DataObject) -> None:
    """Spans over whole words come back from labels alone, and offsets stay in the text."""
    at = words(text)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(at)), max_size=8)))
    spans = tuple(
        Span(at[a][0], at[b - 1][1], data.draw(st.sampled_from(["LOC", "PER"])))
        for a, b in itertools.pairwise(cuts)
        if data.draw(st.booleans())
    )
    example = Example(text, gold=spans)
    features = encoded([example])
    output = Output(example, [said(features.gold_of(0))], [features.offsets_of(0)])
    for aggregation in ("none", "simple", "first", "average", "max"):
        for found in NER.decode(output, LABELS, DecodeOptions(aggregation=aggregation)):
            assert 0 <= found["start"] < found["end"] <= len(text)
            assert found["word"] == text[found["start"] : found["end"]]
    found = NER.decode(output, LABELS, DecodeOptions())
    if not NER.remarks([example], features):  # a piece over two words, or a word that has none
        assert [(p["start"], p["end"], p["entity_group"]) for p in found] == list(spans)
        assert NER.score([output], LABELS)["f1"] == (1.0 if spans else 0.0)


def test_a_span_inside_a_word_is_told_and_counted_as_missed() -> None:
    example = Example("the Berliners left", gold=(Span(4, 10, "LOC"),), source="f.jsonl:7")
    features = encoded([example])
    assert NER.remarks([example], features) == [
        "1 of 1 entities begin or end inside a word; training widens them to it, "
        "evaluation counts them as missed: f.jsonl:7 'Berlin'"
    ]
    output = Output(example, [said(features.gold_of(0))], [features.offsets_of(0)])
    assert NER.decode(output, LABELS, DecodeOptions())[0]["word"] == "Berliners"
    assert NER.score([output], LABELS) == {"f1": 0, "precision": 0, "recall": 0}


def test_entities_beyond_the_cut_are_told_and_counted_as_missed() -> None:
    text = "Ada is in Rome " + "and so on " * 20 + "with Bob"
    example = Example(text, gold=(Span(0, 3, "PER"), Span(10, 14, "LOC"), Span(len(text) - 3, len(text), "PER")))
    features = encoded([example], max_length=16)
    assert "1 of 3 entities are where their text is cut" in NER.remarks([example], features)[0]
    output = Output(example, [said(features.gold_of(0))], [features.offsets_of(0)])
    assert NER.score([output], LABELS) == pytest.approx({"f1": 0.8, "precision": 1, "recall": 2 / 3})


def test_types_that_training_never_saw_are_named() -> None:
    example = Example("in Rome", gold=(Span(3, 7, "LOK"),), source="dev.conll:3")
    with pytest.raises(AlbertError, match=r"dev\.conll:3: label 'LOK'") as caught:
        encoded([example])
    assert "did you mean 'LOC'" in str(caught.value)


def test_data_without_entities_and_pairs_are_refused() -> None:
    with pytest.raises(AlbertError, match="types of entities, got 0") as caught:
        NER.labels([Example("x", gold=())], column="spans")
    assert caught.value.kind is ErrorKind.DATA
    with pytest.raises(AlbertError, match="a pair of texts"):
        NER.features(TOKENIZER, [Example("x", "y")], Lengths(max_length=8))


def test_the_baseline_knows_words_and_not_what_it_is_scored_on() -> None:
    train = [Example("Rome or Paris", gold=(Span(0, 4, "LOC"), Span(8, 13, "LOC"))), Example("a or b", gold=())]
    dev = [Example("Rome and Oslo", gold=(Span(0, 4, "LOC"), Span(9, 13, "LOC")))]
    words, value = NER.baseline(train, dev, LABELS)
    assert "most frequent tag in training" in words
    assert value == pytest.approx(2 / 3)  # Rome is known, Oslo is not
    assert NER.baseline(dev, dev, LABELS)[1] == 0.0


# --- against the oracles ---------------------------------------------------------------------------------

WORDS = st.lists(st.sampled_from(LABELS), min_size=1, max_size=10)


@given(st.lists(WORDS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_scores_are_those_of_seqeval(gold: list[list[str]], rng: random.Random) -> None:
    predicted = [[tag if rng.random() < 0.7 else rng.choice(LABELS) for tag in sentence] for sentence in gold]
    at = [[(2 * i, 2 * i + 1) for i in range(len(sentence))] for sentence in gold]
    ours = entity_scores(
        *([spans_over(tags, place) for tags, place in zip(side, at, strict=True)] for side in (predicted, gold))
    )
    theirs = {
        "f1": f1_score(gold, predicted, zero_division=0),
        "precision": precision_score(gold, predicted, zero_division=0),
        "recall": recall_score(gold, predicted, zero_division=0),
    }
    assert ours == pytest.approx(theirs)


def test_words_of_a_file_are_scored_as_seqeval_scores_them() -> None:
    """Random pieces' labels, read at the first piece of each of the file's words, as conlleval's users do."""
    rng = np.random.default_rng(0)
    tokens = ["Coca-Cola", "'s", "chief", "in", "U.S.", "Rome", "@jürgen", "http://t.co/x", "é", "Salzburgring"]
    outputs, theirs, gold = [], [], []
    for _ in range(40):
        chosen = rng.choice(tokens, 8).tolist()
        text = " ".join(chosen)
        ends = np.cumsum([len(token) + 1 for token in chosen]) - 1
        at = tuple((int(end) - len(token), int(end)) for token, end in zip(chosen, ends, strict=True))
        gold.append(rng.choice(LABELS, 8).tolist())
        example = Example(text, gold=tuple(spans_over(gold[-1], at)), words=at)
        features = encoded([example])
        offsets = features.offsets_of(0)
        logits = rng.normal(size=(len(offsets), len(LABELS))).astype(np.float32)
        outputs.append(Output(example, [logits], [offsets]))
        first = [next(i for i, (a, b) in enumerate(offsets) if a < b and a >= start) for start, _ in at]
        theirs.append([LABELS[i] for i in logits[first].argmax(1)])
    scores = NER.score(outputs, LABELS)
    assert scores["f1"] == pytest.approx(f1_score(gold, theirs))
    assert scores["f1"] > 0


def test_logits_and_loss_are_those_of_transformers(tmp_path: Path) -> None:
    config = small_config(vocab_size=TOKENIZER.vocab_size, id2label=LABELS)
    model = AlbertForTask(config, "token_classification", generator=torch.Generator().manual_seed(0)).eval()
    save_model(model, tmp_path)
    oracle = transformers.AlbertForTokenClassification.from_pretrained(tmp_path).eval()
    texts = ["Ada Lovelace in Rome", "nobody", "to Salzburg, said Bob"]
    golds = [(Span(0, 12, "PER"), Span(16, 20, "LOC")), (), (Span(3, 11, "LOC"), Span(18, 21, "PER"))]
    batch = encoded([Example(t, gold=g) for t, g in zip(texts, golds, strict=True)]).batch([0, 1, 2])
    inputs = {"attention_mask": batch.attention_mask, "token_type_ids": batch.token_type_ids}
    mine = model(batch.input_ids, **inputs)
    theirs = oracle(input_ids=batch.input_ids, **inputs, labels=batch.gold)
    assert batch.gold is not None
    assert (mine - theirs.logits).abs().max() < 1e-5
    loss = NER.loss(mine, batch.gold) / NER.count(batch.gold)
    assert loss.item() == pytest.approx(theirs.loss.item(), abs=1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that changes its mind from piece to piece."""
    path = tmp_path_factory.mktemp("random")
    config = small_config(
        vocab_size=TOKENIZER.vocab_size, id2label=LABELS, initializer_range=0.5, max_position_embeddings=64,
        extra={"task": "ner"},
    )  # fmt: skip
    save_model(AlbertForTask(config, "token_classification", generator=torch.Generator().manual_seed(1)), path)
    TOKENIZER.save(path)
    return path


def words_said(probabilities: np.ndarray, gold: tuple[Span, ...] = ()) -> Output:
    """A text of as many words as rows, each of one piece with these probabilities of LABELS."""
    example = Example(" ".join(["a"] * len(probabilities)), gold=gold)
    places = np.array([(2 * at, 2 * at + 1) for at in range(len(probabilities))])
    assert example.word_places == [tuple(place) for place in places]
    return Output(example, [np.log(probabilities)], [places])


def step(before: str, tag: str) -> int:
    """The kind of a step between two tags, in the order of `tune`."""
    row = "OBI".index(tag[0])
    return row if before == "O" else 3 + row + (row == 2 and before[2:] != tag[2:])


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_tags_are_the_best_of_all_sequences(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities, tuned = rng.dirichlet(np.ones(5), count), tuple(rng.normal(0, 2, 7).tolist())

    def worth(tags: tuple[str, ...]) -> float:
        own = sum(np.log(row[LABELS.index(tag)]) for row, tag in zip(probabilities, tags, strict=True))
        return own + sum(tuned[step(*pair)] for pair in itertools.pairwise(("O", *tags)))

    best = max(itertools.product(LABELS, repeat=count), key=worth)
    output = words_said(probabilities)
    wanted = spans_over(best, output.example.word_places)
    found = NER.decode(output, LABELS, DecodeOptions(thresholds=tuned))
    assert [Span(p["start"], p["end"], p["entity_group"]) for p in found] == wanted


def test_steps_are_learned_from_the_gold_of_dev() -> None:
    """A name whose words the network takes for two kinds becomes one entity."""
    sure = np.array([[0.9, 0.1, 0, 0, 0], [0, 0.1, 0.8, 0.1, 0], [0, 0, 0, 0.1, 0.9], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]])
    unsure, place = sure.copy(), sure[:, [0, 2, 1, 4, 3]]
    unsure[2] = [0, 0, 0, 0.55, 0.45]
    outputs = [
        words_said(np.maximum(rows, 1e-6), (Span(2, 7, kind),))
        for rows, kind in ((sure, "PER"), (unsure, "PER"), (place, "LOC"))
    ] * 20
    tuned = NER.tune(outputs, LABELS)
    assert len(tuned) == NER.tuned(len(LABELS)) == 7
    assert tuned[5] > 0 > max(tuned[2], tuned[6])  # on with the same kind; off from nothing, or with another kind
    assert NER.score(outputs, LABELS)["f1"] < 1
    assert NER.score(outputs, LABELS, tuned)["f1"] == 1
    assert {verdict.error for verdict in NER.review(outputs, LABELS, tuned).verdicts} == {0}


@pytest.mark.parametrize("thresholds", [[0.5], [0.0] * 6])
def test_stored_steps_have_their_number(folder: Path, tmp_path: Path, thresholds: list[float]) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["albert"]["extra"]["thresholds"] = thresholds
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(AlbertError, match=r"thresholds.*none, or 7"):
        Predictor.load(tmp_path)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("aggregation", ["none", "simple", "first", "average", "max"])
def test_aggregation_is_that_of_transformers(folder: Path, aggregation: str) -> None:
    """On words between spaces, which is all that their pipeline knows of words."""
    theirs = transformers.pipeline("token-classification", model=str(folder), aggregation_strategy=aggregation,
                                   device="cpu")  # fmt: skip
    model = Predictor.load(folder, precision="fp32")
    compared = 0
    for text in ("Wolfgang Amadeus Mozart wandered through Salzburg", "unbelievably tomfoolery downstairs",
                 "Microsoft bought Minecraft from Mojang near Stockholm"):  # fmt: skip
        assert theirs.tokenizer(text)["input_ids"] == TOKENIZER(text).input_ids
        assert "▁" not in TOKENIZER.tokenize(text)  # a space alone has no characters here, an entity there
        mine, others = model(text, aggregation=aggregation), theirs(text)
        assert len(mine) == len(others)
        for one, other in zip(mine, others, strict=True):
            # Their first piece of a word begins at the space before it, and words are rebuilt from pieces.
            assert text[other["start"] : other["end"]].strip() == one["word"] == text[one["start"] : one["end"]]
            assert one["end"] == other["end"]
            assert one["score"] == pytest.approx(float(other["score"]), abs=1e-5)
            name = "entity" if aggregation == "none" else "entity_group"
            assert one[name] == other[name]
            assert one.keys() == other.keys()
            compared += 1
    assert compared >= 5


def test_an_unknown_aggregation_lists_the_known(folder: Path) -> None:
    with pytest.raises(AlbertError, match="none, simple, first, average, max") as caught:
        Predictor.load(folder)("x", aggregation="last")
    assert caught.value.kind is ErrorKind.USAGE


def test_punctuation_does_not_belong_to_an_entity() -> None:
    example = Example("We left Rome, then Oslo.", gold=(Span(8, 12, "LOC"), Span(19, 23, "LOC")))
    features = encoded([example])
    output = Output(example, [said(features.gold_of(0))], [features.offsets_of(0)])
    assert [p["word"] for p in NER.decode(output, LABELS, DecodeOptions())] == ["Rome", "Oslo"]
    assert tags_over(example.gold, words(example.text))[1] == []
