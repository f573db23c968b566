"""The results of scoring a model on a data set, from which a report is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from albert.data.examples import Columns
from albert.data.reading import DataSource
from albert.tasks.base import Lengths, Output, Task
from albert.tasks.bootstrap import ConfidenceInterval, bootstrap
from albert.tasks.review import Review
from albert.text.encodings import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A model's outputs on examples with gold, their scores beside a baseline (in words, and on the task's metric).

    `about` goes on the top. `sources` are the files to check, as they were read, that of training first. `metrics` is a
    metrics.jsonl that need not be there; the tokenizer counts the pieces of texts.
    """

    title: str
    task: Task
    labels: Sequence[str]
    outputs: Sequence[Output]
    scores: dict[str, float]
    baseline: tuple[str, float]
    tokenizer: Tokenizer
    lengths: Lengths
    about: dict[str, str]
    settings: dict[str, Any]
    sources: tuple[DataSource, ...]
    metrics: Path
    thresholds: tuple[float, ...] = ()
    remarks: Sequence[str] = ()

    @property
    def files(self) -> list[str]:
        """The paths of the sources."""
        return [source.path for source in self.sources]

    @cached_property
    def review(self) -> Review:
        """The outputs one by one."""
        return self.task.review(self.outputs, self.labels, self.thresholds)

    @cached_property
    def interval(self) -> ConfidenceInterval:
        """The confidence interval of the deciding score."""
        return bootstrap(self.review.score, len(self.outputs))

    @cached_property
    def calibration_error(self) -> float | None:
        """That of the review."""
        return self.review.calibration_error


def resolved(source: DataSource, task: Task, columns: Columns, lengths: Lengths) -> DataSource:
    """A source with all that was guessed of it in its place."""
    return replace(
        source,
        task=task.name,
        text=columns.text,
        text_pair=columns.text_pair,
        label=columns.label,
        choices=",".join(columns.choices) or None,
        max_length=lengths.max_length,
        stride=lengths.stride,
    )
