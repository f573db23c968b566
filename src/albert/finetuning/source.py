"""Encoded rows as batches for the training loop."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from albert.data.batches import Batch, Features, training_steps
from albert.data.pairs import PairBatch, PairFeatures
from albert.text.sampling import Segmentations
from albert.training.parts import LoopConfig


class EpochSource(ABC):
    """Batches of units in memory, each within a budget of padded pieces; (seed, epoch) draws the order of an epoch."""

    def __init__(self, lengths: np.ndarray, config: LoopConfig) -> None:
        """`lengths` are the padded pieces of each unit, [units], or of each of its sides, [units, sides]."""
        self.lengths = lengths
        self.config = config
        self._epoch = -1
        self._steps: list[list[Any]] = []

    @property
    def steps_per_epoch(self) -> int:
        """How many steps go through all units once."""
        return math.ceil(len(self.lengths) / self.config.batch_size)

    @abstractmethod
    def batch(self, units: np.ndarray) -> Any:
        """The batch of these units."""

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
        return [self.batch(units) for units in self._steps[index]]


class FeatureSource(EpochSource):
    """Encoded examples. A unit is the rows of one example that belong together."""

    def __init__(self, features: Features, config: LoopConfig) -> None:
        self.features = features
        self.bounds = features.unit_bounds()
        longest = np.maximum.reduceat(features.lengths, self.bounds[:-1])
        super().__init__(longest * np.diff(self.bounds), config)

    def batch(self, units: np.ndarray) -> Batch:
        rows = [np.arange(self.bounds[unit], self.bounds[unit + 1]) for unit in units]
        return self.features.batch(np.concatenate(rows))


class PairSource(EpochSource):
    """Sources with their targets, whose pieces both count.

    With `segmentations`, (seed, epoch, row, side) draws the pieces of a text. A text that would become longer than
    `longest`, of a source and of a target with its end, keeps its own ones.
    """

    def __init__(
        self, pairs: PairFeatures, config: LoopConfig, segmentations: Segmentations | None = None,
        longest: tuple[int, int] = (0, 0),
    ) -> None:  # fmt: skip
        super().__init__(pairs.lengths, config)
        self.pairs = pairs
        self.segmentations = segmentations
        self.longest = longest

    def batch(self, units: np.ndarray) -> PairBatch:
        if self.segmentations is None:
            return self.pairs.batch(units)
        sources = [self._drawn(self.pairs.sources, row, 0, self.segmentations) for row in units.tolist()]
        targets = [self._drawn(self.pairs.targets, row, 1, self.segmentations)[0] for row in units.tolist()]
        return self.pairs.with_rows(sources, targets).batch(range(len(units)))

    def _drawn(self, side: Features, row: int, number: int, by: Segmentations) -> tuple[np.ndarray, np.ndarray]:
        """The ids and token types of a row's other pieces."""
        ids, types = (part[side.starts[row] : side.starts[row + 1]] for part in (side.ids, side.types))
        drawn, places = by.draw(ids, np.random.default_rng((self.config.seed, self._epoch, row, number)))
        return (drawn, types[places]) if len(drawn) + number <= self.longest[number] else (ids, types)
