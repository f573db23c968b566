"""The parts of a training run: its configuration, and the interfaces of source, objective, progress and watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from albert.compute.precision import Precision
from albert.errors import require_ranges


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long a run trains, and in which portions.

    `batch_size` counts examples per update. `max_tokens` counts padded tokens per forward pass; a larger batch is
    accumulated. `steps` counts updates and, unless 0, replaces `epochs`. Training stops early after `patience`
    evaluations without a better score (0: never).
    """

    epochs: float = 3.0
    steps: int = 0
    batch_size: int = 32
    max_tokens: int = 8192
    evals_per_epoch: int = 1
    patience: int = 0
    save_seconds: float = 300.0
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        require_ranges(
            self,
            ("epochs", 1e-6, 1e6),
            ("steps", 0, 1e9),
            ("batch_size", 1, 1_000_000),
            ("max_tokens", 8, 100_000_000),
            ("evals_per_epoch", 1, 1000),
            ("patience", 0, 1_000_000),
            ("save_seconds", 0, 1e9),
            ("seed", 0, 2**32 - 1),
        )


class Source(Protocol):
    """The source of a run's batches. It gives the micro-batches of any step, in any order."""

    @property
    def steps_per_epoch(self) -> int: ...

    def micro_batches(self, step: int) -> list[Any]:
        """The micro-batches of a step (from 0)."""
        ...


class Objective(Protocol):
    """A loss: the weighted sum of several means (weight 1 for those without a name in `weights`).

    Each mean is a sum over a micro-batch, and the count by which it is divided.
    """

    weights: Mapping[str, float]

    def counts(self, batch: Any) -> dict[str, int]:
        """By term: the number of values over which it is averaged."""
        ...

    def sums(self, model: nn.Module, batch: Any) -> dict[str, Tensor]:
        """By term: the sum over a micro-batch, differentiable."""
        ...


class Forward(nn.Module):
    """Model and objective as one module, so that its backward pass has the gradients of all ranks."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, batch: Any) -> dict[str, Tensor]:
        return self.objective.sums(self.model, batch)


class Progress(Protocol):
    """An observer of a run."""

    def on_step(self, step: int, total: int, *, loss: float, tokens: int, seconds: float) -> None:
        """After each step, with its tokens and seconds."""
        ...

    def on_evaluation(self, step: int, scores: dict[str, float], *, best: bool) -> None:
        """After each evaluation."""
        ...

    def on_message(self, text: str) -> None:
        """For each sentence about the run."""
        ...


class Watch(Protocol):
    """May call a run back to an earlier checkpoint. Each method returns the reason, or None."""

    seen: dict[str, Any]

    def after_step(self, losses: dict[str, float]) -> str | None:
        """Checks the losses of a step, by term."""
        ...

    def after_evaluation(self, scores: dict[str, float]) -> str | None:
        """Checks the scores of an evaluation."""
        ...
