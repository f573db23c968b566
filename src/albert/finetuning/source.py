"""Encoded examples as batches for the training loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from albert.data.batches import Features, training_steps
from albert.training.parts import LoopConfig


class FeatureSource:
    """Batches of encoded examples in memory; the order of an epoch is drawn from (seed, epoch)."""

    def __init__(self, features: Features, config: LoopConfig) -> None:
        self.features = features
        self.config = config
        self.bounds = features.unit_bounds()
        longest = np.maximum.reduceat(features.lengths, self.bounds[:-1])
        self.lengths = longest * np.diff(self.bounds)  # the padded pieces of each unit
        self._epoch = -1
        self._steps: list[list[Any]] = []

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.lengths) / self.config.batch_size)

    def micro_batches(self, step: int) -> list[Any]:
        """The micro-batches of a step."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            config = self.config
            self._steps = training_steps(
                self.lengths,
                batch_size=config.batch_size,
                max_tokens=config.max_tokens,
                seed=config.seed,
                epoch=epoch,
            )
            self._epoch = epoch
        return [self.features.batch(self._rows(units)) for units in self._steps[index]]

    def _rows(self, units: np.ndarray) -> np.ndarray:
        return np.concatenate([np.arange(self.bounds[unit], self.bounds[unit + 1]) for unit in units])
