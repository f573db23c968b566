"""The task settings that `albert train` keeps in config.json, checked against the model before use."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from albert.config import AlbertConfig
from albert.data.examples import Columns
from albert.errors import AlbertError, ErrorKind
from albert.storage.stored import typed
from albert.tasks import task_named
from albert.tasks.base import Lengths, Task


@dataclass(frozen=True)
class StoredExit:
    """Where rows leave early: the threshold, and the mean depth at which those of dev left."""

    threshold: float | None = None
    depth: float | None = None


@dataclass(frozen=True)
class StoredHybrid:
    """What the head's logits and those of the linear model count in their sum, to which `shift` is added."""

    head: float
    words: float
    shift: float = 0.0


@dataclass(frozen=True)
class StoredCascade:
    """How sure the linear model must be to answer alone, what its logits count, and of dev what share it answered."""

    threshold: float
    words: float
    share: float


@dataclass(frozen=True)
class StoredTask:
    """The entries of "extra". Each may be missing in a model from elsewhere."""

    task: str | None = None
    metric: str | None = None
    fallback: str | None = None
    fallback_share: float | None = None
    columns: Columns | None = None
    max_length: int | None = None
    stride: int | None = None
    thresholds: tuple[float, ...] = ()
    early_exit: StoredExit = StoredExit()
    hybrid: StoredHybrid | None = None
    cascade: StoredCascade | None = None

    @classmethod
    def of(cls, extra: Mapping[str, Any], source: str) -> StoredTask:
        """Reads the entries. Raises `AlbertError` (bad-model) for values of other types and for an unknown task."""
        found = typed(cls, extra, f"{source}: albert.extra")
        if found.task is not None:
            task_named(found.task)
        return found

    def extra(self) -> dict[str, Any]:
        """The entries as JSON values, the inverse of `of`. A stride of None says that long texts are cut."""
        values = json.loads(json.dumps(dataclasses.asdict(self)))
        kept = {f.name for f in dataclasses.fields(self) if getattr(self, f.name) != f.default} | {"stride"}
        return {name: value for name, value in values.items() if name in kept}


def noted(config: AlbertConfig, **entries: Any) -> AlbertConfig:
    """The config with some entries of its `StoredTask` changed."""
    stored = StoredTask.of(config.extra, "config.json")
    return config.with_(extra=dataclasses.replace(stored, **entries).extra())


def lengths_of(stored: StoredTask, extra: Mapping[str, Any], task: Task, limit: int, source: str) -> Lengths:
    """How many pieces the model reads: as in training, else up to `limit`. Raises `AlbertError` (bad-model)."""
    try:
        if stored.max_length is None:
            return task.lengths.adjusted(limit, None)
        stride = stored.stride if "stride" in extra else task.lengths.stride
        return Lengths(max_length=stored.max_length, stride=stride)
    except AlbertError as error:
        raise AlbertError(ErrorKind.MODEL, f"{source}: {error.what}", expected=error.expected, got=error.got) from None


def as_trained(task: Task, stored: StoredTask, source: str) -> Task:
    """The task with its metric and fallback. Raises `AlbertError` (bad-model) if the task cannot have them."""
    try:
        return task.measured_by(stored.metric).falling_back_to(stored.fallback, stored.fallback_share)
    except AlbertError as error:
        what = error.what.removeprefix("--").split()[0]
        raise AlbertError(ErrorKind.MODEL, f"{source}: {what}", expected=error.expected, got=error.got) from None


def require_fit(stored: StoredTask, task: Task, head: str, lengths: Lengths, config: AlbertConfig, source: str) -> None:
    """Raises `AlbertError` (bad-model) unless task, fallback, lengths and thresholds fit this network."""
    tuned = task.tuned(config.num_labels)
    for what, expected, got in (
        ("task", f"one for the head {head}", None if task.head == head else task.name),
        ("fallback", "one of its labels", None if stored.fallback in (None, *config.id2label) else stored.fallback),
        (
            "max_length",
            f"at most its {config.max_position_embeddings:,} positions",
            f"{lengths.max_length:,}" if lengths.max_length > config.max_position_embeddings else None,
        ),
        (
            "thresholds",
            f"none, or {tuned}",
            None if len(stored.thresholds) in (0, tuned) else str(len(stored.thresholds)),
        ),
    ):
        if got is not None:
            raise AlbertError(ErrorKind.MODEL, f"{source}: {what}", expected=expected, got=got)
