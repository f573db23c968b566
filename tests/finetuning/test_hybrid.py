"""A linear model beside the network: what it adds, where it answers alone, and what its file must hold."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from albert.data.examples import Example
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.finetuning.hybrid import least_sure, weigh
from albert.linear import NAME, fit
from albert.predict.predictor import Predictor
from albert.storage.files import write_manifest

pytestmark = pytest.mark.ci  # minutes altogether

TINY: dict[str, Any] = {
    "epochs": 1.0, "num_hidden_layers": 1, "hidden_size": 32, "embedding_size": 16, "num_attention_heads": 2,
    "intermediate_size": 32, "seed": 0, "lr": 1e-3,
}  # fmt: skip
GOOD, BAD = ("lovely", "bright", "warm"), ("awful", "dull", "cold")
FILLERS = ("the", "film", "was", "very", "on", "monday", "in", "town")


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def sentence(rng: random.Random, word: str) -> str:
    words = [*rng.choices(FILLERS, k=6), word]
    rng.shuffle(words)
    return " ".join(words)


def labelled(kind: str, rows: int = 300) -> list[dict[str, Any]]:
    rng = random.Random(0)
    made = []
    for number in range(rows):
        good = number % 2 == 0
        text = sentence(rng, rng.choice(GOOD if good else BAD)) + f" {number}"
        label: Any = {"labels": "good" if good else "bad", "numbers": (4.5 if good else 0.5) + rng.random() / 10,
                      "several": ["good", "any"] if good else ["any"]}[kind]  # fmt: skip
        made.append({"text": text, "label": label})
    return made


def config_of(folder: Path, **options: Any) -> FinetuneConfig:
    data = DataSource(str(folder / "data.jsonl"))
    return FinetuneConfig(train=data, out=folder / "model", size="tiny", settings=TINY, **options)


def trained(folder: Path, kind: str = "labels", **options: Any) -> Path:
    write(folder / "data.jsonl", labelled(kind))
    finetune(config_of(folder, **options))
    return folder / "model"


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("hybrid"), hybrid=True)


def test_words_answer_what_an_untaught_network_cannot(hybrid: Path) -> None:
    predictor = Predictor.load(hybrid)
    texts = [sentence(random.Random(n), word) for n, word in enumerate((*GOOD, *BAD))]
    assert [p["label"] for p in predictor(texts)] == ["good"] * 3 + ["bad"] * 3
    predictor.words = None
    assert predictor.evaluate(hybrid.parent / "data.jsonl").scores["accuracy"] < 0.9


@pytest.mark.parametrize("text", ["lоvely brіght wаrm", "l\u200bovely w\u200barm bri\u200bght"])
def test_words_read_hostile_text_as_the_network_does(text: str, hybrid: Path) -> None:
    words = Predictor.load(hybrid).words
    bare = Predictor.load(hybrid, hardening=False).words
    assert words is not None
    assert bare is not None
    assert words.logits([Example(text)])[0, 1] > bare.logits([Example(text)])[0, 1]


@pytest.mark.parametrize("kind", ["numbers", "several"])
def test_numbers_and_several_labels_are_joined_too(kind: str, tmp_path: Path) -> None:
    folder = trained(tmp_path, kind, hybrid=True)
    evaluation = Predictor.load(folder).evaluate(tmp_path / "data.jsonl")
    assert evaluation.scores[evaluation.metric] > 0.85


def test_the_card_and_the_report_tell_of_the_words(hybrid: Path) -> None:
    for name in ("README.md", "report.html"):
        assert "a linear model on words" in (hybrid / name).read_text()
    stored = json.loads((hybrid / "config.json").read_text())["albert"]["extra"]["hybrid"]
    assert stored["words"] > 0
    assert NAME in json.loads((hybrid / "manifest.json").read_text())["files"]


def test_a_finished_run_gets_words_by_resuming_it(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    weights = (folder / "model.safetensors").read_bytes()
    config = FinetuneConfig(
        train=DataSource(str(tmp_path / "data.jsonl")), out=folder, size="tiny", settings=TINY, hybrid=True
    )
    finetune(config, resume=True)
    assert (folder / "model.safetensors").read_bytes() == weights
    assert Predictor.load(folder).words is not None


def test_a_run_without_words_leaves_none_behind(tmp_path: Path) -> None:
    folder = trained(tmp_path, hybrid=True)
    finetune(
        FinetuneConfig(train=DataSource(str(tmp_path / "data.jsonl")), out=folder, size="tiny", settings=TINY),
        overwrite=True,
    )
    assert not (folder / NAME).exists()
    assert Predictor.load(folder).words is None


def test_sure_words_answer_alone_and_the_network_reads_the_rest(tmp_path: Path) -> None:
    folder = trained(tmp_path, cascade=True, cascade_budget=0.02)
    predictor = Predictor.load(folder)
    assert predictor.words is not None
    examples = [Example("lovely warm bright"), Example("nothing of this was seen"), Example("awful dull cold")]
    read = predictor.words.read(examples)
    assert read.sure.tolist() == [True, False, True]
    whole = Predictor.load(folder, cascade=False)
    found, full = list(predictor.outputs(examples)), list(whole.outputs(examples))
    assert np.allclose(found[1].pooled, full[1].pooled, atol=1e-5)
    assert found[0].pooled[1] > found[0].pooled[0]
    evaluation = predictor.evaluate(tmp_path / "data.jsonl")
    assert any("words alone answered" in remark for remark in evaluation.remarks)


def test_better_answers_make_up_for_worse_ones(tmp_path: Path) -> None:
    """One label of dev in ten is wrong: there a network that knows nothing may be right, where words are not."""
    write(tmp_path / "data.jsonl", labelled("labels"))
    rows = labelled("labels", rows=200)
    for number, row in enumerate(rows):
        row["text"] += "0000"
        if number % 20 in (0, 11):
            row["label"] = {"good": "bad", "bad": "good"}[row["label"]]
    config = config_of(tmp_path, dev=write(tmp_path / "dev.jsonl", rows))
    shares = []
    for net in (False, True):
        finetune(replace(config, cascade=True, cascade_budget=0.0, cascade_net=net), overwrite=True)
        words = Predictor.load(config.out).words
        shares.append(0.0 if words is None or words.cascade is None else words.cascade.share)
    assert shares[0] < 0.9 < shares[1]


def test_hybrid_cascade_and_early_exit_go_together(tmp_path: Path) -> None:
    folder = trained(tmp_path, hybrid=True, cascade=True, early_exit=True)
    assert Predictor.load(folder).evaluate(tmp_path / "data.jsonl").scores["accuracy"] > 0.97


@pytest.mark.parametrize(
    ("rows", "options", "kind", "told"),
    [
        ([{"text": f"a {n}", "label": n / 7} for n in range(300)], {"cascade": True}, ErrorKind.USAGE, "--cascade"),
        ([{"question": f"who {n}", "context": f"it was {n} here", "answers": [{"text": str(n), "answer_start": 7}]}
          for n in range(100)], {"hybrid": True, "task": "qa"}, ErrorKind.USAGE, "--hybrid"),
        ([{"text": f"a {n}", "text_pair": "b", "label": n / 7} for n in range(300)],
         {"cascade": True, "task": "similarity"}, ErrorKind.USAGE, "--cascade"),
        (labelled("labels", 30), {"hybrid": True}, ErrorKind.DATA, "--hybrid: dev rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(
    rows: list[dict[str, Any]], options: dict[str, Any], kind: ErrorKind, told: str, tmp_path: Path
) -> None:
    task = options.pop("task", None)
    data = DataSource(write(tmp_path / "data.jsonl", rows), task=task)
    with pytest.raises(AlbertError) as caught:
        finetune(FinetuneConfig(train=data, out=tmp_path / "model", size="tiny", settings=TINY, **options))
    assert caught.value.kind is kind
    assert told in str(caught.value)
    assert not (tmp_path / "model").exists()


def spoiled(folder: Path, target: Path, change: Any) -> Path:
    """A copy of a model whose file of words was changed and vouched for."""
    target.mkdir()
    for path in folder.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    arrays = load((target / NAME).read_bytes())
    change(arrays)
    (target / NAME).write_bytes(save(arrays))
    write_manifest(target)
    return target


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("bias"),
        lambda arrays: arrays.update(bias=arrays["bias"][:1]),
        lambda arrays: arrays.update(weights=arrays["weights"].astype(np.float32)),
        lambda arrays: arrays.update(rarity=np.full_like(arrays["rarity"], np.nan)),
        lambda arrays: arrays.update(buckets=arrays["buckets"][::-1].copy()),
        lambda arrays: arrays.update(buckets=arrays["buckets"] + (1 << 40)),
        lambda arrays: arrays.update(weights=arrays["weights"][:-1]),
    ],
)
def test_a_file_of_words_that_does_not_fit_is_refused(change: Any, hybrid: Path, tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="a linear model with 2 outputs") as caught:
        Predictor.load(spoiled(hybrid, tmp_path / "model", change))
    assert caught.value.kind is ErrorKind.MODEL


def test_a_missing_or_altered_file_of_words_is_refused(hybrid: Path, tmp_path: Path) -> None:
    folder = spoiled(hybrid, tmp_path / "model", lambda arrays: None)
    (folder / NAME).write_bytes((folder / NAME).read_bytes()[:-1] + b"\1")
    with pytest.raises(AlbertError, match="damaged"):
        Predictor.load(folder)
    (folder / NAME).unlink()
    with pytest.raises(AlbertError, match=NAME):
        Predictor.load(folder)


def test_the_better_of_two_models_counts_more() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 600)
    right = np.eye(3)[gold] * 3 + rng.normal(size=(600, 3))
    noise = rng.normal(size=(600, 3))
    found = weigh("single_label_classification", noise, right, gold)
    assert found.words > 0.5 > 0.2 > found.head
    numbers = rng.normal(size=(500, 1))
    found = weigh("regression", numbers, -numbers, 2 * numbers[:, 0] + 1)
    assert (found.head, found.words, found.shift) == pytest.approx((2, 0, 1))


def test_a_cascade_keeps_its_budget() -> None:
    sure = np.linspace(0, 1, 1000)
    worse = (np.arange(1000) % 100 == 0) | (sure < 0.3)
    threshold = least_sure(sure, worse, budget=0.003)
    assert (worse & (sure >= threshold)).sum() == 3
    assert least_sure(sure, np.ones(1000, bool), budget=0.0) == np.inf
    assert least_sure(sure, np.zeros(1000, bool), budget=0.0) == 0
    better = np.arange(1000) % 50 == 1  # twice as many
    threshold = least_sure(sure, worse.astype(int) - better, budget=0.003)
    assert threshold < 0.3
    assert (worse.astype(int) - better)[sure >= threshold].sum() <= 3


@pytest.mark.parametrize("text", ["", " ", "\ud800", "a" * 10_000, "\0", "🙂" * 50])
def test_odd_texts_have_logits(text: str) -> None:
    examples = [Example("good day"), Example("bad night"), Example("good sun"), Example(text)]
    model = fit(examples, np.asarray([1, 0, 1, 0]), outputs=2)
    assert np.isfinite(model.logits(examples)).all()
    pairs = [replace(example, text_pair=text) for example in examples]
    assert np.isfinite(fit(pairs, np.asarray([1, 0, 1, 0]), outputs=2).logits(pairs)).all()


def test_a_label_without_rows_is_never_said() -> None:
    examples = [Example(f"{word} {n}") for n in range(30) for word in ("red", "green")]
    model = fit(examples, np.asarray([0, 2] * 30), outputs=3)
    assert set(model.logits(examples).argmax(1).tolist()) == {0, 2}
