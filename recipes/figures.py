"""Figures that several recipes print."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from sklearn.metrics import precision_recall_fscore_support


def spread(values: Sequence[float]) -> str:
    """The median, and the range of several."""
    middle = f"{statistics.median(values):.3f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3f} to {max(values):.3f})"


def of_label(label: str, gold: Sequence[str], said: Sequence[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 of one label."""
    found = precision_recall_fscore_support(gold, said, labels=[label], average="micro", zero_division=0)
    return float(found[0]), float(found[1]), float(found[2])
