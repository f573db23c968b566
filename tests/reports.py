"""A report's facts for every family, from rows in a file and drawn logits: nothing is trained."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from albert.data.examples import Example, guess_columns, read_examples
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.report import Facts
from albert.tasks import TASKS, Lengths
from albert.tasks.base import Output
from albert.tasks.facts import resolved
from albert.text.tokenizer import AlbertTokenizer

COLORS = ["red", "blue", "green"]
HOSTILE = "</blockquote><script>alert(1)</script><img src=x onerror=alert(2)> & \"'\u202e\x01"


def row_of(task: str, number: int, color: str) -> dict[str, Any]:
    text = f"a {color} lamp, number {number} {HOSTILE}"
    match task:
        case "multilabel":
            return {"text": text, "labels": [color, HOSTILE][: number % 3]}
        case "ner":
            label = ["COLOR", "HUE", HOSTILE][number % 3]
            return {"text": text, "spans": [[2, 2 + len(color), label], [3 + len(color), 7 + len(color), "THING"]]}
        case "qa":
            answers = [{"text": color, "answer_start": 2}] if number % 4 else []
            return {"id": str(number), "question": f"which one? {HOSTILE}", "context": text, "answers": answers}
        case "choice":
            return {"text": text, "choices": sorted([color, HOSTILE]), "answer": color}
        case "regression" | "similarity":
            return {"sentence1": text, "sentence2": HOSTILE, "score": number % 5 + 0.5}
        case "retrieval":
            return {"question": text, "label": f"{number} of {color} {HOSTILE}"}
        case _:
            return {"text": text, "label": [*COLORS, f"$\\frac{HOSTILE}"][number % 4]}


def examples_of(task: str, folder: Path, rows: int = 40) -> tuple[list[Example], Table]:
    """Rows of the family, as a file has them."""
    rng = random.Random(0)
    path = folder / f"{task}.jsonl"
    lines = [json.dumps(row_of(task, number, rng.choice(COLORS))) for number in range(rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = Table(str(path))
    problems = Problems(table.path)
    examples = list(read_examples(table, guess_columns(table), TASKS[task].parse_gold, problems))
    problems.raise_if_any()
    return examples, table


def facts_of(name: str, tokenizer: AlbertTokenizer, folder: Path, **given: Any) -> Facts:
    """A model that answers at random, evaluated."""
    task = TASKS[name]
    examples, table = examples_of(name, folder)
    columns = guess_columns(table)
    labels = task.labels(examples, column=columns.label or "")
    features, _ = task.features(tokenizer, examples, Lengths(max_length=48))
    rng = np.random.default_rng(0)
    width = {"span": 2, "embedding": 8}.get(task.head, len(labels))
    shapes = [(length, width) if task.points else (width,) for length in features.lengths.tolist()]
    logits = [rng.normal(size=shape, scale=2).astype(np.float32) for shape in shapes]
    outputs = Output.each(examples, features, logits)
    thresholds = task.tune(outputs, labels)
    records: list[dict[str, Any]] = [{"step": step, "loss": 2 / (step + 1), "seconds": 0.1} for step in range(30)]
    scores = task.score(outputs, labels, thresholds)
    records += [{"step": 15, "dev": {"loss": 1.0, **scores}}, {"step": 30, "dev": scores}]
    metrics = folder / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    facts: dict[str, Any] = {
        "title": f"{name} {HOSTILE}",
        "task": task,
        "labels": labels,
        "outputs": outputs,
        "scores": scores,
        "baseline": task.baseline(examples, examples, labels),
        "tokenizer": tokenizer,
        "lengths": Lengths(max_length=48),
        "about": {"evaluation data": f"{table.path}, {len(examples)} rows", "seed": "7"},
        "settings": {"lr": 1e-3, "seed": 7, "optimizer": HOSTILE},
        "sources": (resolved(table.source, task, columns, Lengths(max_length=48)),),
        "thresholds": thresholds,
        "metrics": metrics,
        "remarks": [HOSTILE],
    }
    return Facts(**{**facts, **given})
