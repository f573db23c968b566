"""A running mean of the weights, which is scored on dev beside the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from albert.errors import require_ranges


@dataclass(frozen=True, kw_only=True)
class AverageConfig:
    """`average` is the share of a run over which weights are averaged; 0 keeps no mean.

    Raises `AlbertError` (bad-config) outside 0..1.
    """

    average: float = 0.0

    def __post_init__(self) -> None:
        require_ranges(self, ("average", 0.0, 1.0))


class Average:
    """The mean of a model's weights after each update: of all updates so far, later of about the last `window`.

    From update `window` on, the mean is exponential: a new update has the weight 1 / window. So it need not know where
    the run ends, which patience may decide.
    """

    def __init__(self, model: nn.Module, window: int) -> None:
        self.parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        self.window = window
        self.mean: dict[str, Tensor] = {}

    def update(self, count: int) -> None:
        """Adds the weights after update number `count`, from 1."""
        if not self.mean:
            self.mean = {name: p.clone() for name, p in self.parameters.items()}
            return
        torch._foreach_lerp_(
            list(self.mean.values()), list(self.parameters.values()), 1 / min(count, max(self.window, 1))
        )

    def load(self, stored: dict[str, Tensor]) -> None:
        """Continues with the mean of a checkpoint."""
        self.mean = {name: stored[name].to(p.device) for name, p in self.parameters.items() if name in stored}

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """A context in which the model has the mean weights."""
        own = {name: p.clone() for name, p in self.parameters.items()}
        self._put(self.mean)
        try:
            yield
        finally:
            self._put(own)

    def _put(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(values[name])
