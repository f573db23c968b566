"""A label for texts that no other one fits: given where it is likeliest, and where no other is likely enough."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import albert as package
from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks import TASKS, DecodeOptions
from albert.tasks.base import Output
from conftest import Albert

LABELS = ("card", "loan", "other")
TASK = TASKS["classification"].falling_back_to("other")


def output(gold: str, *probabilities: float) -> Output:
    return Output(Example("x", gold=gold), [np.log(np.asarray(probabilities, np.float32))])


# Unsure where the text is neither: the likeliest label is wrong in two rows of five.
ROWS = [
    output("card", 0.90, 0.05, 0.05),
    output("loan", 0.20, 0.79, 0.01),
    output("other", 0.50, 0.45, 0.05),
    output("other", 0.40, 0.55, 0.05),
    output("other", 0.10, 0.10, 0.80),
]


def test_the_threshold_makes_the_score_best() -> None:
    limits = TASK.tune(ROWS, LABELS)
    assert 0.55 < limits[0] < 0.8
    assert TASK.score(ROWS, LABELS, limits)["accuracy"] == 1.0
    assert TASK.score(ROWS, LABELS)["accuracy"] == TASKS["classification"].score(ROWS, LABELS)["accuracy"] == 0.6
    review = TASK.review(ROWS, LABELS, limits)
    assert [verdict.said for verdict in review.verdicts] == ["card", "loan", "other", "other", "other"]


def test_what_is_scored_is_what_is_said() -> None:
    limits = TASK.tune(ROWS, LABELS)
    for row in ROWS:
        said = TASK.decode(row, LABELS, DecodeOptions(thresholds=limits, top_k=None))
        assert said[0]["label"] == row.example.gold
        assert sorted(one["label"] for one in said) == sorted(LABELS)
        assert said[0]["score"] >= max(one["score"] for one in said[1:]) - 1e-6 or said[0]["label"] == "other"
    unsure = TASK.decode(ROWS[2], LABELS, DecodeOptions(thresholds=limits))
    assert unsure == [{"label": "other", "score": pytest.approx(0.5)}]


def drawn(rows: int, none_fits: int) -> list[Output]:
    """Rows whose label is likely, and rows that fit none, where the likeliest label often is not."""
    rng = np.random.default_rng(0)
    sure = [0.99 - 0.5 * rng.random() ** 2 for _ in range(rows)]
    unsure = [0.95 - 0.7 * rng.random() for _ in range(none_fits)]
    known = [output("card", value, 0.99 - value, 0.01) for value in sure]
    return known + [output("other", value, 0.99 - value, 0.01) for value in unsure]


def test_the_expected_share_moves_the_threshold() -> None:
    rows = drawn(400, 40)
    limits = [TASK.falling_back_to("other", share).tune(rows, LABELS)[0] for share in (0.02, 0.2, 0.6)]
    assert limits == sorted(set(limits))
    assert TASK.falling_back_to("other", 40 / 440).tune(rows, LABELS) == TASK.tune(rows, LABELS)
    in_use = drawn(400, 400)
    plain, expected = (TASK.falling_back_to("other", share) for share in (None, 0.5))
    before, after = (task.score(in_use, LABELS, task.tune(rows, LABELS))["accuracy"] for task in (plain, expected))
    assert after > before + 0.05


@pytest.mark.parametrize("given", [{"fallback_share": 0.2}, {"fallback": "other", "fallback_share": 1.5}])
def test_a_share_needs_a_fallback_and_is_one(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(AlbertError, match="--fallback-share") as caught:
        package.train(tmp_path / "none.csv", out=tmp_path / "out", **given)
    assert caught.value.kind is ErrorKind.USAGE


def test_without_a_fallback_nothing_changes() -> None:
    assert TASKS["classification"].tune(ROWS, LABELS) == ()
    said = TASKS["classification"].decode(ROWS[2], LABELS, DecodeOptions(thresholds=(0.9,)))
    assert said[0]["label"] == "card"


def test_other_tasks_refuse_it() -> None:
    with pytest.raises(AlbertError, match="one label a text") as caught:
        TASKS["ner"].falling_back_to("O")
    assert caught.value.kind is ErrorKind.USAGE


def write(path: Path, seed: int) -> Path:
    rng = random.Random(seed)
    words = {"card": "card pin chip", "loan": "loan rate credit", "other": "cat rain song tree river bread"}
    rows = [f"{' '.join(rng.choices(words[label].split(), k=3))} {n},{label}" for n in range(40) for label in LABELS]
    path.write_text("\n".join(["text,label", *rows]))
    return path


@pytest.mark.ci
def test_a_model_is_trained_with_it_and_keeps_it(tmp_path: Path, albert: Albert) -> None:
    train, dev = write(tmp_path / "train.csv", 0), write(tmp_path / "dev.csv", 1)
    settings = [f"--set={name}" for name in ("epochs=3", "hidden_size=32", "num_attention_heads=2", "lr=3e-3")]
    command = ["train", train, "--dev", dev, "-o", tmp_path / "out", "--size", "tiny", "--json", *settings]
    done = albert(*command, "--fallback", "other", "--fallback-share", "0.5")
    assert done.returncode == 0, done.stderr
    predictor = package.Predictor.load(tmp_path / "out")
    assert len(predictor.thresholds) == 1
    assert "| fallback | other, where no other label" in (tmp_path / "out" / "README.md").read_text()
    again = predictor.evaluate(dev)
    said = [best["label"] for best in predictor([row.split(",")[0] for row in dev.read_text().splitlines()[1:]])]
    gold = [row.split(",")[1] for row in dev.read_text().splitlines()[1:]]
    assert again.scores["accuracy"] == pytest.approx(np.mean([a == b for a, b in zip(said, gold, strict=True)]))
    assert albert(*command, "--overwrite", "--fallback", "others").returncode == 65
    assert predictor.task.fallback_share == 0.5  # type: ignore[attr-defined]
    for given in ([], ["--fallback", "other", "--fallback-share", "0.4"]):
        changed = albert(*command, "--resume", *given)
        assert changed.returncode == 78
        assert "--fallback" in changed.stderr
