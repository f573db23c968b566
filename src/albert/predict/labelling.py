"""Labels without training rows: a text gets the label whose name or description has the vector nearest to its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from jaxtyping import Float

from albert.data.examples import Columns, Example, text_column
from albert.data.reading import DataSource, RowOptions
from albert.data.sources import Problems, text_lines
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.predict.abilities import require_ability, require_texts
from albert.predict.files import Scored, write_rows
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.predict.work import Work

Labels = Mapping[str, str]  # what each label's vector is made from


def parse_labels(text: str, *, encoding: str = "utf-8") -> dict[str, str]:
    """ "billing, delivery=where a parcel is": labels with commas between, each with a description behind =, if any.

    The name of a file stands for its lines, a label each. Raises `AlbertError` for fewer than two labels, the same one
    twice, and a label without a name: usage, or bad-data if they stand in a file, also for one that cannot be read.
    """
    if not os.path.exists(text):
        if "," not in text:
            raise AlbertError(
                ErrorKind.USAGE, "--labels", expected="labels with commas between, or a file with one in each line",
                got=f"{text!r}, and no such file" if text.strip() else "none",
            )  # fmt: skip
        return _named(map(_pair, text.split(",")), "--labels", ErrorKind.USAGE)
    problems = Problems(text)
    lines = [line for _, line in text_lines(text, encoding=encoding, problems=problems) if line.strip()]
    problems.raise_if_any()
    if not lines:
        raise AlbertError(ErrorKind.DATA, text, expected="a label in each line", got="an empty file")
    return _named(map(_pair, lines), text, ErrorKind.DATA)


def named_labels(labels: Iterable[str | tuple[str, str]] | Labels) -> dict[str, str]:
    """Labels with their descriptions; one without has its name, in words.

    Raises `AlbertError` (usage) for fewer than two labels, the same one twice, and a label without a name.
    """
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    return _named(((one, "") if isinstance(one, str) else one for one in pairs), "labels", ErrorKind.USAGE)


def _pair(text: str) -> tuple[str, str]:
    name, _, about = text.partition("=")
    return name.strip(), about.strip()


def _named(pairs: Iterable[tuple[str, str]], what: str, kind: ErrorKind) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, about in pairs:
        if not name.strip():
            after = f"an empty one after {list(found)[-1]!r}" if found else "an empty one"
            raise AlbertError(kind, what, expected="a name for every label", got=after)
        if name in found:
            raise AlbertError(kind, what, expected="different labels", got=f"{name!r} twice")
        found[name] = about.strip() or re.sub(r"[_-]+", " ", name)
    if len(found) < 2:
        got = f"{next(iter(found))!r} alone" if found else "none"
        raise AlbertError(kind, what, expected="at least two labels", got=got)
    return found


class Labelling(Work):
    """The label nearest to a text and the cosine of their vectors; all labels where `top_k` is not 1."""

    def __init__(self, model: Predictor | PretrainedModel, labels: Labels, *, top_k: int | None = 1) -> None:
        task = model.task.name if isinstance(model, Predictor) else "pre-training"
        require_ability(model.abilities, "embed", task)
        self.model, self.labels, self.top_k = model, dict(labels), top_k
        self.added = ("prediction", "score") if top_k == 1 else ("predictions",)
        self._text = model.columns.text if isinstance(model, Predictor) else "text"
        self.wanted = (self._text,)
        self._vectors = model.embed(list(self.labels.values()))

    @property
    def cut(self) -> int:
        return self.model.cut

    def columns(self, table: Table) -> Columns:
        return Columns(text_column(table, self._text))

    def values(self, examples: Sequence[Example]) -> Iterable[tuple[Any, ...]]:
        ranked = self.ranked([example.text for example in examples])
        if self.top_k == 1:
            return ((best[0]["label"], best[0]["score"]) for best in ranked)
        return ((best,) for best in ranked)

    def ranked(self, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
        """`[{label, score}]` of each text, the nearest first."""
        return nearest(list(self.labels), self._vectors, self.model.embed(texts), self.top_k)

    def identity(self) -> dict[str, Any]:
        return {**self.model.identity(), "labels": self.labels, "top_k": self.top_k}


def nearest(
    names: Sequence[str],
    labels: Float[np.ndarray, "labels hidden"],
    texts: Float[np.ndarray, "texts hidden"],
    top_k: int | None = None,
) -> list[list[dict[str, Any]]]:
    """`[{label, score}]` of each text, the nearest first, by the vectors of both; `top_k` of them, None: all."""
    cosines = texts @ labels.T
    orders = np.argsort(-cosines, axis=1, kind="stable")[:, :top_k]
    return [
        [{"label": names[place], "score": float(row[place])} for place in order.tolist()]
        for order, row in zip(orders, cosines, strict=True)
    ]


def label_texts(
    model: Predictor | PretrainedModel,
    texts: Sequence[str],
    labels: Sequence[str] | Labels,
    *,
    top_k: int | None = 1,
) -> list[Any]:
    """`{label, score}` of each text; a list of these, the nearest first, where `top_k` is not 1 (None: all).

    Raises `AlbertError`: bad-model for a model without vectors, usage for labels.
    """
    require_texts(texts)
    require_texts(labels if isinstance(labels, str) else [])
    ranked = Labelling(model, named_labels(labels), top_k=top_k).ranked(texts)
    return [best[0] for best in ranked] if top_k == 1 else ranked


def label_file(
    model: Predictor | PretrainedModel,
    data: str | Path | DataSource,
    out: str,
    *,
    labels: Labels,
    top_k: int | None = 1,
    output_format: str | None = None,
    **reading: Unpack[RowOptions],
) -> Scored:
    """`score_file` with the label that is nearest to every row's text, and the cosine."""
    source = DataSource.of(data, **reading)
    work = Labelling(model.fitted(source), labels, top_k=top_k)
    return write_rows(work, source, out, output_format=output_format)
