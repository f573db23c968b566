"""A second look at the first passages of a search: a model that reads query and passage together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from albert.data.examples import Example
from albert.documents.passages import shown
from albert.documents.search import Hit
from albert.errors import AlbertError, ErrorKind
from albert.predict.predictor import Predictor
from albert.tasks.base import Output

DEPTH = 20  # passages that are looked at again
RANK = 60  # k of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)
# Labels that say that two texts belong together, where a model of pairs has two.
FITTING = ("1", "entailment", "relevant", "match", "yes", "true", "LABEL_1")


def require_reranker(model: Predictor) -> None:
    """Raises `AlbertError` (bad-model) for a model that does not tell how well two texts fit."""
    if model.task.pipeline != "text-classification" or _column(model) is None:
        raise AlbertError(
            ErrorKind.MODEL, f"reranking with task {model.task.name}",
            expected=f"a model that gives pairs a number, or two labels, one of them {', '.join(FITTING)}",
            got=", ".join(model.labels[:5]) or "another",
        )  # fmt: skip


def reranked(query: str, hits: Sequence[Hit], model: Predictor) -> list[Hit]:
    """The hits, the first of them in the order of both ranks: the model's and the search's. Each tells the model's."""
    require_reranker(model)
    return reordered(hits, list(model.outputs(read_again(query, hits))), model)


def read_again(query: str, hits: Sequence[Hit]) -> list[Example]:
    """What a model reads of the hits: the query with each of the first passages."""
    return [Example(query, shown(hit.heading, hit.text)[0]) for hit in hits[:DEPTH]]


def reordered(hits: Sequence[Hit], outputs: Sequence[Output], model: Predictor) -> list[Hit]:
    """`reranked` from the model's outputs for what it reads."""
    first, rest = hits[:DEPTH], hits[DEPTH:]
    if not first:
        return []
    order = np.argsort(-_scores(outputs, model), kind="stable")
    ranks = np.empty(len(first), int)
    ranks[order] = np.arange(1, len(first) + 1)
    told = [dataclasses.replace(hit, reranked=int(rank)) for hit, rank in zip(first, ranks, strict=True)]
    joint = {hit.passage: 1 / (RANK + place) + 1 / (RANK + (hit.reranked or 0)) for place, hit in enumerate(told, 1)}
    return [*sorted(told, key=lambda hit: (-joint[hit.passage], hit.reranked)), *rest]


def _scores(outputs: Sequence[Output], model: Predictor) -> np.ndarray:
    """How well each passage fits the query."""
    column = _column(model)
    assert column is not None
    said = np.stack([output.pooled for output in outputs])
    return np.asarray(said[:, column] - (said[:, 1 - column] if said.shape[1] == 2 else 0))


def _column(model: Predictor) -> int | None:
    """Which of a model's numbers tells that two texts fit."""
    if len(model.labels) <= 1 or model.task.name == "regression":
        return 0
    found = [place for place, label in enumerate(model.labels) if label in FITTING]
    return found[0] if len(found) == 1 and len(model.labels) == 2 else None
