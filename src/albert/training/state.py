"""The state of a run on disk. A kill at any moment costs only time.

A checkpoint is a folder that appears in one rename, after its files and their manifest are flushed. A resumed run takes
the newest one that verifies.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from albert.errors import AlbertError
from albert.storage.files import new_folder, remove_leftovers, verify_manifest, write_file, write_json
from albert.storage.stored import read_object, read_records, typed

_MODEL, _OPTIMIZER, _STATE = "model.safetensors", "optimizer.safetensors", "state.json"
_AVERAGE = "average.safetensors"
LAST, BEST = "step", "best"


@dataclass(frozen=True)
class Judged:
    """An evaluation: its step and its scores."""

    step: int
    scores: dict[str, float]


@dataclass
class RunState:
    """The part of a checkpoint that is not tensors.

    `retreats` counts how often the run was called back; each time its rate becomes 0.7 of the rate before. `watch` is
    the state of the watch. `threads` are the numbers of threads that the run has used.
    """

    step: int = 0
    updates: int = 0  # steps that were not skipped
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    skipped_steps: list[int] = field(default_factory=list)  # steps whose gradients were not finite
    fingerprint: dict[str, Any] = field(default_factory=dict)
    retreats: int = 0
    watch: dict[str, Any] = field(default_factory=dict)
    threads: list[int] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one run: `step-*` with the whole state, `best-*` with weights only."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(
        self,
        kind: str,
        step: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        state: dict[str, Any],
        *,
        average: dict[str, Tensor] | None = None,
    ) -> None:
        """Writes a checkpoint, with the mean of the weights if there is one, then removes older ones of its kind.

        Two checkpoints are kept; of the best, one.
        """
        path = self.at(kind, step)
        with new_folder(path) as temporary:
            save_file(_own_tensors(model), temporary / _MODEL)
            if optimizer is not None:
                save_file(_optimizer_tensors(optimizer), temporary / _OPTIMIZER)
            if average:
                save_file(average, temporary / _AVERAGE)
            write_json(temporary / _STATE, state)
        for old in self._newest_first(kind)[self.keep if kind == LAST else 1 :]:
            shutil.rmtree(old)

    def newest(self, kind: str) -> Path | None:
        """The newest checkpoint of a kind that verifies. Prints those that do not to stderr."""
        return next(self.whole(kind), None)

    def whole(self, kind: str) -> Iterator[Path]:
        """The checkpoints of a kind that verify, newest first. Prints those that do not to stderr."""
        remove_leftovers(self.folder)
        for path in self._newest_first(kind):
            if difference := self.damage(path):
                print(f"checkpoint {path} is damaged ({difference}); trying the one before", file=sys.stderr)
            else:
                yield path

    def at(self, kind: str, step: int) -> Path:
        """The path of a checkpoint by its kind and step, if it exists."""
        return self.folder / f"{kind}-{step:08d}"

    @staticmethod
    def damage(path: Path) -> str | None:
        """The damage of a checkpoint, in words."""
        if not path.is_dir():
            return "no such folder"
        if difference := verify_manifest(path, needed=(_MODEL, _STATE)):
            return difference
        try:
            Checkpoints.state(path)
        except AlbertError as error:
            return str(error)
        return None

    def oldest(self, kind: str) -> Path | None:
        """The oldest checkpoint of a kind that verifies."""
        kept = [path for path in reversed(self._newest_first(kind)) if self.damage(path) is None]
        return kept[0] if kept else None

    def forget_after(self, kind: str, step: int) -> None:
        """Removes the checkpoints of a kind that were made after a step."""
        for path in self._newest_first(kind):
            if path.name > self.at(kind, step).name:
                shutil.rmtree(path)

    @staticmethod
    def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> RunState:
        """Loads a checkpoint into the model and the optimiser, and returns its state."""
        stored = load_file(path / _MODEL)
        for name, tensor in _own_tensors(model).items():
            tensor.copy_(stored[name])
        if optimizer is not None:
            _restore_optimizer(optimizer, load_file(path / _OPTIMIZER))
        return Checkpoints.state(path)

    @staticmethod
    def average(path: Path) -> dict[str, Tensor]:
        """The mean of the weights at a checkpoint; empty if none was kept."""
        return load_file(path / _AVERAGE) if (path / _AVERAGE).exists() else {}

    @staticmethod
    def state(path: Path) -> RunState:
        """The state in a checkpoint. Raises `AlbertError` (bad-model) for anything else."""
        place = str(path / _STATE)
        state = typed(RunState, read_object(path / _STATE, finite=False), place)
        for entry in state.evaluations:
            typed(Judged, entry, f"{place}: evaluations")
        return state

    def clear(self) -> None:
        """Removes all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _newest_first(self, kind: str) -> list[Path]:
        return sorted(self.folder.glob(f"{kind}-{'[0-9]' * 8}*"), reverse=True)


class MetricsLog:
    """`metrics.jsonl`: one JSON object per record, with its "step". `mirror` gets each record, too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mirror: Callable[[dict[str, Any]], None] | None = None

    def rewind(self, step: int, *, evaluated: Container[int] = ()) -> None:
        """Removes the records that a run resumed at `step` writes again, and an incomplete last line.

        These are all records from `step` on, except evaluations that the checkpoint already has.
        """
        if not self.path.exists():
            self.path.unlink(missing_ok=True)  # a link to nowhere, where a file would be made
            return
        kept = []
        for raw, record in self._records():
            if record["step"] < step or ("dev" in record and record["step"] in evaluated):
                kept.append(raw)
        write_file(self.path, b"".join(kept))

    def write(self, record: dict[str, Any]) -> None:
        """Appends a record, and gives it to the mirror."""
        with open(self.path, "a", encoding="utf-8", opener=_open_itself) as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        if self.mirror is not None:
            self.mirror(record)

    def total(self, key: str) -> int:
        """The sum of a number over all steps."""
        values = (record.get(key, 0) for _, record in self._records())
        return sum(value for value in values if isinstance(value, int))

    def _records(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        """Each complete line, as text and as its record."""
        return read_records(self.path)


def _open_itself(path: str, flags: int) -> int:
    """A file, not what a link in its place leads to."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Each parameter once, under its first name, even if several layers share it."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, entry in optimizer.state_dict()["state"].items()
        for key, value in entry.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, stored: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in stored.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
