"""What a report is made of."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from albert.data.examples import Columns
from albert.tasks.base import Lengths, Output, Task
from albert.text.tokenizer import AlbertTokenizer


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A model's outputs on examples with gold, their scores beside a baseline (in words, and on the task's metric).

    `about` goes on the top, `files` are those to check, that of training first, and `records` are the lines of
    metrics.jsonl; the tokenizer counts the pieces of texts.
    """

    title: str
    task: Task
    labels: Sequence[str]
    outputs: Sequence[Output]
    scores: dict[str, float]
    baseline: tuple[str, float]
    tokenizer: AlbertTokenizer
    lengths: Lengths
    about: dict[str, str]
    settings: dict[str, Any]
    files: tuple[str, ...]
    columns: Columns
    format: str | None = None
    encoding: str = "utf-8"
    thresholds: tuple[float, ...] = ()
    records: Sequence[dict[str, Any]] = ()
    remarks: Sequence[str] = ()


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; none where there is no such file, half a line left out."""
    records = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                records.append(json.loads(line))
    return records
