"""What the scorers of SQuAD and RACE need in addition to a task's own scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.storage.files import write_json

_LEVELS = ("middle", "high")


def question_ids(table: Table) -> list[str]:
    """The ids of a file's questions, in order. Raises `AlbertError` (bad-data) if they have none."""
    if "id" not in table.columns:
        raise AlbertError(
            ErrorKind.DATA, f"{table.path}: no ids", expected="SQuAD's or RACE's files", got=", ".join(table.columns)
        )
    return [str(row.values["id"]) for row in table]


def write_answers(answers: Mapping[str, str], folder: Path) -> Path:
    """Writes predictions.json, {question id: answer, "" for none}, as SQuAD's scorers read it. Returns its path."""
    path = folder / "predictions.json"
    write_json(path, dict(answers))
    return path


def race_scores(right: Mapping[str, bool]) -> dict[str, float]:
    """Accuracy over all questions, and over those of middle and of high schools. The ids begin with the school.

    Source: Lai et al. 2017, Table 5.
    """
    scores = {"accuracy": float(np.mean(list(right.values())))}
    for level in _LEVELS:
        if hits := [hit for name, hit in right.items() if name.startswith(level)]:
            scores[f"accuracy_{level}"] = float(np.mean(hits))
    return scores
