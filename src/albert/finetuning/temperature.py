"""Temperature scaling of a fine-tuned model, done to its weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from albert.finetuning.attempts import FinetuneResult, rescored
from albert.finetuning.dataset import Dataset
from albert.model import AlbertForTask
from albert.tasks.calibration import calibration_error, fit_temperature
from albert.tasks.metrics import softmax

_ENOUGH = 100  # with fewer dev examples, the result would be chance
_LEAST = 1e-30  # the least probability, so that its logarithm is finite


def scale_temperature(model: AlbertForTask, data: Dataset, result: FinetuneResult) -> tuple[FinetuneResult, str]:
    """Divides the head's weights by the temperature fitted on dev if the model is overconfident.

    The likeliest label stays the same; a fallback's threshold is tuned anew. Nothing changes for models that are not
    overconfident, heads whose labels do not share one softmax, and models with few dev examples. Returns the result
    with its outputs divided, and a description ("": nothing was done). Source: Guo et al. 2017, section 4.2.
    """
    review = data.task.review(result.outputs, data.labels, result.thresholds)
    if review.probabilities is None or review.gold is None or len(review.gold) < _ENOUGH:
        return result, ""
    logits = np.log(np.maximum(review.probabilities, _LEAST))
    temperature = fit_temperature(logits, review.gold)
    if temperature <= 1:
        return result, ""
    with torch.no_grad():
        for parameter in model.head.linear.parameters():  # type: ignore[union-attr]
            parameter.div_(temperature)
    outputs = [replace(one, logits=[row / temperature for row in one.logits]) for one in result.outputs]
    before = calibration_error(review.probabilities, review.gold)
    after = calibration_error(softmax(logits / temperature), review.gold)
    said = (
        f"logits divided by {temperature:.2f}, the temperature at which probabilities hold on dev: "
        f"calibration error {before:.3f} before, {after:.3f} after"
    )
    return rescored(result, data, outputs), said
