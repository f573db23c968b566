"""The processes of one run: alone, or under torchrun on one machine or many."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

_TIMEOUT = timedelta(minutes=10)  # a dead rank is noticed at once; this limit is for a rank that hangs


@dataclass(frozen=True)
class World:
    """The number of ranks, and this rank's number. Only rank 0 writes files and messages."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def join(cls) -> World:
        """The world that torchrun's variables describe: NCCL with a GPU per rank, else gloo; a single rank without
        them.
        """
        cuda = torch.cuda.is_available()
        local = int(os.environ.get("LOCAL_RANK", "0"))
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls(device=device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if cuda else "gloo", timeout=_TIMEOUT)
        return cls(dist.get_rank(), dist.get_world_size(), device)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def sum(self, values: dict[str, float]) -> dict[str, float]:
        """Each value summed over all ranks."""
        if self.size == 1:
            return values
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return dict(zip(values, total.tolist(), strict=True))

    def parallel(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over all ranks in the backward pass."""
        if self.size == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids)

    def averaging(self, module: nn.Module, *, on: bool) -> AbstractContextManager[Any]:
        """A context in which a backward pass of the parallel module averages gradients, or only adds them up."""
        if on or not isinstance(module, DistributedDataParallel):
            return nullcontext()
        return module.no_sync()
