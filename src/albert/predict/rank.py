"""Texts by how well they fit a query: by the cosine of vectors, or by the number that a model gives the pair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from albert.tasks.base import Output
from albert.tasks.metrics import sigmoid


def pair_scores(outputs: Iterable[Output], *, raw: bool = False) -> Float[np.ndarray, " texts"]:
    """The number of each pair: its sigmoid, or `raw`."""
    scores = np.asarray([float(output.pooled[0]) for output in outputs])
    return scores if raw else sigmoid(scores)


def cosines(query: Float[np.ndarray, " size"], table: Float[np.ndarray, "texts size"]) -> Float[np.ndarray, " texts"]:
    """Of vectors of length 1."""
    return np.asarray(table @ query)


def ranked(scores: Float[np.ndarray, " texts"], texts: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """`{index, score}` of each, best first, and its text where `texts` are given."""
    ranks: list[dict[str, Any]] = [
        {"index": int(place), "score": float(scores[place])} for place in np.argsort(-scores, kind="stable")
    ]
    return ranks if texts is None else [{**rank, "text": texts[rank["index"]]} for rank in ranks]
