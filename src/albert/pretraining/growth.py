"""Runs that begin small: first fewer loops, shorter rows or smaller batches, then the full ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.pretraining.draws import uniform

_DEPTH = 0x4445  # the slot for the draw of a step's loops


@dataclass(frozen=True, kw_only=True)
class GrowthConfig:
    """The smaller sizes, each for an equal part of the first `grown_by` of a run's steps.

    `loops` are loop counts of the shared layers; the same weights serve any count. `lengths` are row lengths in pieces.
    `batches` are rows per update. After that, each step draws its loop count from `depths`, so that the weights serve
    each of them. A count may occur in it several times; without it the count is always the full one. A shared weight
    acts once per loop, so steps with more loops than the full count have a lower rate.
    """

    loops: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    depths: tuple[int, ...] = ()
    grown_by: float = 0.5

    def __post_init__(self) -> None:
        require_ranges(self, ("grown_by", 0.0, 1.0))
        kinds = (
            ("loops", 1, "[3,6]"), ("lengths", 8, "[128]"), ("batches", 1, "[32,64]"), ("depths", 1, "[3,6,6,12]"),
        )  # fmt: skip
        for name, least, example in kinds:
            values = getattr(self, name)
            if any(not isinstance(value, int) or value < least for value in values):
                raise AlbertError(
                    ErrorKind.CONFIG, name, expected=f"whole numbers from {least}, like {example}", got=repr(values)
                )

    def loops_at(self, step: int, total: int, full: int, seed: int = 0) -> int:
        """The loop count of a step."""
        if self.depths and not (self.loops and step < round(self.grown_by * total)):
            return self.depths[int(uniform(seed, step, _DEPTH) * len(self.depths))]
        return self._at(self.loops, step, total, full)

    def size_at(self, step: int, total: int, length: int, batch_size: int) -> tuple[int, int]:
        """The row length and number of rows of a step."""
        return self._at(self.lengths, step, total, length), self._at(self.batches, step, total, batch_size)

    def _at(self, values: tuple[int, ...], step: int, total: int, full: int) -> int:
        end = round(self.grown_by * total)
        return values[step * len(values) // end] if values and step < end else full


class SizedSource(Protocol):
    """A source whose rows have one size. `first` is its first step, `total` is the run's number of steps."""

    first: int
    total: int

    @property
    def steps_per_epoch(self) -> int: ...

    def micro_batches(self, step: int) -> list[Any]:
        """The micro-batches of a step (from 0)."""
        ...


class GrowingSource:
    """The steps of a run whose rows and batches grow. `make(length, batch_size, first, part)` gives each part's source.

    An epoch is one of the full size. Each part draws its own order, so that short runs repeat little text.
    """

    def __init__(
        self,
        growth: GrowthConfig,
        make: Callable[[int, int, int, int], SizedSource],
        *,
        length: int,
        batch_size: int,
    ) -> None:
        self.growth = growth
        self.make = make
        self.length, self.batch_size = length, batch_size
        self.full = make(length, batch_size, 0, 0)
        self.parts = [self.full]

    @property
    def steps_per_epoch(self) -> int:
        return self.full.steps_per_epoch

    def begin(self, total: int) -> None:
        """Divides a run of `total` steps into its parts."""
        sizes = [self.growth.size_at(step, total, self.length, self.batch_size) for step in range(total)]
        firsts = [step for step in range(total) if step == 0 or sizes[step] != sizes[step - 1]]
        if len(firsts) > 1:
            self.parts = [self.make(*sizes[first], first, part) for part, first in enumerate(firsts)]
        for part in self.parts:
            part.total = total

    def micro_batches(self, step: int) -> list[Any]:
        """This rank's part of a step."""
        return next(part for part in reversed(self.parts) if part.first <= step).micro_batches(step)
