"""Joins the windows of a long text, so that every piece is judged once, in the window with the most
context around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Stitched:
    """Which pieces of each window are used: those with characters, in the text's order, each once."""

    kept: list[np.ndarray]  # one per window: [pieces]

    def join(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """One array over the pieces of the text, from one array per window."""
        return np.concatenate([values[pieces] for values, pieces in zip(windows, self.kept, strict=True)])

    def divide(self, values: np.ndarray, windows: Sequence[np.ndarray]) -> None:
        """Writes `values`, one per piece of the text, to their places in the windows."""
        ends = np.cumsum([len(pieces) for pieces in self.kept])
        for window, pieces, part in zip(windows, self.kept, np.split(values, ends[:-1]), strict=True):
            window[pieces] = part


def stitch(windows: Sequence[np.ndarray]) -> Stitched:
    """Divides shared pieces between two neighbours: the first half to the left window, the second half to the right
    one.

    `windows` are the offsets of each window's pieces, [pieces, 2]. Special tokens have (0, 0).
    """
    kept = [np.flatnonzero(offsets[:, 1] > offsets[:, 0]) for offsets in windows]
    for index in range(1, len(windows)):
        left, right = kept[index - 1], kept[index]
        if not len(left) or not len(right):
            continue
        shared = int(np.searchsorted(windows[index][right, 0], windows[index - 1][left[-1], 0], side="right"))
        kept[index - 1] = left[: len(left) - (shared - shared // 2)]
        kept[index] = right[shared // 2 :]
    return Stitched(kept)
