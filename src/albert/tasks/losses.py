"""Options of the losses: class weights, label smoothing, focal loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.errors import AlbertError, ErrorKind, require_ranges


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Options of the losses over labels.

    `class_weights`: "balanced" gives every class the same weight, however few rows it has. `label_smoothing` is the
    share of the target that goes to the wrong labels (Szegedy et al. 2016). `focal` is the exponent that lowers the
    weight of rows that are already right (Lin et al. 2017).
    """

    class_weights: Literal["none", "balanced"] = "none"
    label_smoothing: float = 0.0
    focal: float = 0.0

    def __post_init__(self) -> None:
        require_ranges(self, ("label_smoothing", 0.0, 0.9), ("focal", 0.0, 10.0))
        if self.class_weights not in ("none", "balanced"):
            raise AlbertError(
                ErrorKind.CONFIG, "class_weights", expected="none or balanced", got=repr(self.class_weights)
            )


@dataclass(frozen=True)
class LossShape:
    """The options with class weights from the training rows. Without weights all classes count 1."""

    config: LossConfig = LossConfig()
    weights: Float[Tensor, " labels"] | None = None


PLAIN = LossShape()


def balanced_weights(counts: np.ndarray) -> Float[Tensor, " labels"]:
    """n / (labels * rows of the label), as scikit-learn's "balanced". The mean over the rows is 1."""
    return torch.from_numpy((counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32))


def cross_entropy(
    logits: Float[Tensor, "batch labels"], gold: Int[Tensor, " batch"], shape: LossShape
) -> Float[Tensor, ""]:
    """The cross-entropy summed over rows, with the loss options."""
    smoothing = shape.config.label_smoothing
    losses = torch.nn.functional.cross_entropy(logits.float(), gold, reduction="none", label_smoothing=smoothing)
    if shape.config.focal:
        right = logits.float().softmax(1).gather(1, gold[:, None]).squeeze(1)
        losses = losses * (1 - right) ** shape.config.focal
    if shape.weights is not None:
        losses = losses * shape.weights.to(losses.device)[gold]
    return losses.sum()


def binary_cross_entropy(
    logits: Float[Tensor, "batch labels"], gold: Float[Tensor, "batch labels"], shape: LossShape
) -> Float[Tensor, ""]:
    """The binary cross-entropies summed over rows and labels, with the loss options. Weights apply to a label's yes."""
    smoothing = shape.config.label_smoothing
    wanted = gold * (1 - smoothing) + smoothing / 2
    weights = None if shape.weights is None else shape.weights.to(logits.device)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        logits.float(), wanted, reduction="none", pos_weight=weights
    )
    if shape.config.focal:
        yes = logits.float().sigmoid()
        losses = losses * torch.where(gold > 0, 1 - yes, yes) ** shape.config.focal
    return losses.sum()
