"""The results of scoring a model on a data set, from which a report is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from albert.data.examples import Columns
from albert.data.reading import Reading
from albert.tasks.base import Lengths, Output, Task
from albert.tasks.bootstrap import ConfidenceInterval, bootstrap
from albert.tasks.calibration import calibration_error
from albert.tasks.review import Review
from albert.text.encodings import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Facts(Reading):
    """A model's outputs on examples with gold, their scores, and a baseline (a description, and its value of the
    metric).

    `about` is shown at the top of a report. `files` are the files to check, training first. `metrics` is a
    metrics.jsonl that need not exist. The tokenizer counts the pieces of texts.
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
    files: tuple[str, ...]
    columns: Columns
    metrics: Path
    thresholds: tuple[float, ...] = ()
    remarks: Sequence[str] = ()

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
        """ECE, if labels share one softmax."""
        review = self.review
        if review.probabilities is None or review.gold is None:
            return None
        return calibration_error(review.probabilities, review.gold)
