"""Moderation by a classifier, in OpenAI's shape: a text is flagged by the labels that it gets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from albert.tasks import DecodeOptions, Task
from albert.tasks.base import Output

# Labels that say that nothing is wrong with a text.
SAFE_LABELS = ("ok", "okay", "none", "safe", "clean", "neutral", "neither", "normal", "ham", "other", "nothing")


def moderated(
    task: Task,
    outputs: Sequence[Output],
    labels: Sequence[str],
    *,
    thresholds: tuple[float, ...] = (),
    safe: Collection[str] = SAFE_LABELS,
) -> list[dict[str, Any]]:
    """`{flagged, categories, category_scores}` of each text; the labels in `safe` flag none, whatever their case."""
    harmless = {label.lower() for label in safe}
    chosen, every = (DecodeOptions(top_k=count, thresholds=thresholds) for count in (1, None))
    results = []
    for output in outputs:
        found = {best["label"] for best in task.decode(output, labels, chosen)}
        found = {label for label in found if label.lower() not in harmless}
        scores = {each["label"]: each["score"] for each in task.decode(output, labels, every)}
        results.append(
            {
                "flagged": bool(found),
                "categories": {label: label in found for label in labels},
                "category_scores": scores,
            }
        )
    return results
