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

    The name of a file stands for its lines, a label each. Raises `AlbertError`: usage for fewer than two labels, the
    same one twice, and a label without a name; bad-data for a file that cannot be read.
    """
    if os.path.isfile(text):
        problems = Problems(text)
        parts = [line for _, line in text_lines(text, encoding=encoding, problems=problems) if line.strip()]
        problems.raise_if_any()
    else:
        parts = text.split(",") if text.strip() else []
    pairs = [part.partition("=") for part in parts]
    return named_labels([(name.strip(), about.strip()) for name, _, about in pairs])


def named_labels(labels: Iterable[str | tuple[str, str]] | Labels) -> dict[str, str]:
    """Labels with their descriptions; one without has its name, in words.

    Raises `AlbertError` (usage) for fewer than two labels, the same one twice, and a label without a name.
    """
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    found: dict[str, str] = {}
    for pair in pairs:
        name, about = (pair, "") if isinstance(pair, str) else pair
        if not name.strip():
            raise _refused("a name for every label", f"an empty one after {list(found)[-1:] or 'nothing'}")
        if name in found:
            raise _refused("different labels", f"{name!r} twice")
        found[name] = about or re.sub(r"[_-]+", " ", name)
    if len(found) < 2:
        raise _refused("at least two, as in billing,delivery,praise", ", ".join(found) or "none")
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


def _refused(expected: str, got: str) -> AlbertError:
    return AlbertError(ErrorKind.USAGE, "--labels", expected=expected, got=got)
