"""Temperature scaling of a fine-tuned model, done to its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from albert.finetuning.attempts import FinetuneResult, rescored
from albert.finetuning.dataset import Dataset
from albert.model import AlbertForTask
from albert.tasks.base import Output
from albert.tasks.calibration import fit_temperature
from albert.tasks.review import Review

_ENOUGH = 100  # with fewer dev examples, the result would be chance
_LEAST = 1e-30  # the least probability, so that its logarithm is finite


def scale_temperature(model: AlbertForTask, data: Dataset, result: FinetuneResult) -> tuple[FinetuneResult, str]:
    """Divides the head's weights by the temperature fitted on dev if the model is overconfident.

    The likeliest label stays the same; a fallback's threshold is tuned anew. Nothing changes for models that are not
    overconfident, heads whose labels do not share one softmax, and models with few dev examples. Returns the result
    with its outputs divided, and a description ("": nothing was done). Source: Guo et al. 2017, section 4.2.
    """
    review = data.task.review(result.outputs, data.labels, result.thresholds)
    temperature = _overconfidence(review)
    if temperature <= 1:
        return result, ""
    _divide(model.head, temperature)
    outputs = [replace(one, logits=[row / temperature for row in one.logits]) for one in result.outputs]
    after = data.task.review(outputs, data.labels, result.thresholds)
    said = (
        f"logits divided by {temperature:.2f}, the temperature at which probabilities hold on dev: "
        f"calibration error {review.calibration_error:.3f} before, {after.calibration_error:.3f} after"
    )
    return rescored(result, data, outputs), said


def scale_exits(
    model: AlbertForTask, data: Dataset, result: FinetuneResult, by_depth: Sequence[list[np.ndarray]]
) -> bool:  # fmt: skip
    """Does the same to the heads before the last depth, from their logits on dev, and says whether they changed.

    They share one temperature. With one each, texts would leave later for the same budget (docs/log.md, 2026-11-30).
    """
    assert model.exits is not None
    outputs = [one for logits in by_depth[:-1] for one in Output.each(data.dev_examples, data.dev, logits)]
    temperature = _overconfidence(data.task.review(outputs, data.labels, result.thresholds)) if outputs else 1.0
    if temperature <= 1:
        return False
    for head in model.exits:
        _divide(head, temperature)
    return True


def _overconfidence(review: Review) -> float:
    """The temperature that is fitted on dev; 1 where probabilities are missing, or those of few examples."""
    if review.probabilities is None or review.gold is None or len(review.gold) < _ENOUGH:
        return 1.0
    return fit_temperature(np.log(np.maximum(review.probabilities, _LEAST)), review.gold)


def _divide(head: nn.Module, temperature: float) -> None:
    with torch.no_grad():
        for parameter in head.linear.parameters():  # type: ignore[union-attr]
            parameter.div_(temperature)
