"""Temperature scaling on logits whose right temperature is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from albert.config import AlbertConfig
from albert.data.examples import Example
from albert.finetuning.attempts import FinetuneResult
from albert.finetuning.temperature import scale_exits, scale_temperature
from albert.model import AlbertForTask
from albert.tasks import TASKS
from albert.tasks.base import Output
from rows import features

LABELS = ("a", "b", "c")
SHAPE: dict[str, Any] = {
    "vocab_size": 50, "embedding_size": 8, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16,
    "num_hidden_layers": 1, "id2label": LABELS,
}  # fmt: skip


def drawn(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are drawn with their probabilities."""
    rng = np.random.default_rng(0)
    true = 2 * rng.normal(size=(rows, len(LABELS)))
    chances = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    return true, (chances.cumsum(1) < rng.random((rows, 1))).sum(1)


def calibrated_by(
    factor: float, *, rows: int = 4000, fallback: str | None = None
) -> tuple[AlbertForTask, AlbertForTask, FinetuneResult, FinetuneResult, str]:
    """A model before and after, its result on dev after and before, where logits are `factor` times too large."""
    task = TASKS["classification"].falling_back_to(fallback)
    true, gold = drawn(rows)
    outputs = [
        Output(Example("x", gold=LABELS[label]), [(factor * row).astype(np.float32)])
        for label, row in zip(gold, true, strict=True)
    ]
    before, model = (
        AlbertForTask(
            AlbertConfig.named("tiny", **SHAPE), "sequence_classification", generator=torch.Generator().manual_seed(0)
        )
        for _ in range(2)
    )
    thresholds = task.tune(outputs, LABELS)
    scores = task.score(outputs, LABELS, thresholds)
    found = FinetuneResult(None, "accuracy", scores, 0.0, 1, outputs, thresholds)  # type: ignore[arg-type]
    data = SimpleNamespace(task=task, labels=LABELS)
    result, said = scale_temperature(model, data, found)  # type: ignore[arg-type]
    return before, model, result, found, said


def test_a_model_too_sure_of_itself_is_divided_by_what_makes_it_hold() -> None:
    before, model, result, found, said = calibrated_by(3.0)
    temperature = float(found.outputs[0].logits[0][0] / result.outputs[0].logits[0][0])
    assert temperature == pytest.approx(3.0, rel=0.05)
    ids = torch.randint(5, 50, (4, 7), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(before.eval()(ids), temperature * model.eval()(ids), rtol=1e-4, atol=1e-5)
    assert f"{temperature:.2f}" in said
    errors = [float(word) for word in said.replace(",", "").split() if word.startswith("0.")]
    assert errors[0] > 0.1 > 0.03 > errors[1]


@pytest.mark.parametrize(("factor", "rows"), [(0.5, 4000), (3.0, 99)])
def test_others_stay_as_they_are(factor: float, rows: int) -> None:
    before, model, result, found, said = calibrated_by(factor, rows=rows)
    assert said == ""
    assert result == found
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), model.parameters(), strict=True))


def test_a_fallback_is_tuned_for_the_probabilities_that_the_model_then_gives() -> None:
    _, _, result, found, said = calibrated_by(3.0, fallback="c")
    assert said
    task = TASKS["classification"].falling_back_to("c")
    assert result.scores == task.score(result.outputs, LABELS, result.thresholds)
    assert result.scores["accuracy"] == pytest.approx(found.scores["accuracy"], abs=0.005)
    assert task.score(result.outputs, LABELS, found.thresholds)["accuracy"] < found.scores["accuracy"] - 0.01


@pytest.mark.parametrize("factor", [3.0, 0.5])
def test_exits_share_a_temperature_of_their_own(factor: float) -> None:
    config = AlbertConfig.named("tiny", **{**SHAPE, "num_hidden_layers": 3})
    model = AlbertForTask(config, "sequence_classification", exits=True, generator=torch.Generator().manual_seed(0))
    true, gold = drawn(4000)
    data = SimpleNamespace(
        task=TASKS["classification"], labels=LABELS, dev=features([6] * len(true), types=False),
        dev_examples=[Example("x", gold=LABELS[label]) for label in gold],
    )  # fmt: skip
    heads = [*model.exits, model.head]  # type: ignore[misc]
    before = [head.linear.weight.clone() for head in heads]
    by_depth = [[each * row for row in true] for each in (factor, factor, 1.0)]
    changed = scale_exits(model, data, SimpleNamespace(thresholds=()), by_depth)  # type: ignore[arg-type]
    factors = [(old / head.linear.weight).mean().item() for old, head in zip(before, heads, strict=True)]
    wanted = max(factor, 1.0)
    assert changed == (factor > 1)
    assert factors == [pytest.approx(wanted, rel=0.05), pytest.approx(wanted, rel=0.05), 1.0]
