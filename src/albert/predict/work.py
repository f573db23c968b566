"""Work on the rows of a file: prediction, moderation, ranking, vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from albert.data.examples import Columns, Example, text_column
from albert.data.tables import Table
from albert.predict.abilities import require_ability
from albert.predict.moderation import SAFE_LABELS
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.predict.vectors import as_lists
from albert.tasks import DecodeOptions, Prediction


class Work(ABC):
    """Work on rows. `added` are the names of the new columns, `wanted` those of the columns that it reads."""

    added: tuple[str, ...]
    wanted: tuple[str, ...]

    @property
    @abstractmethod
    def cut(self) -> int:
        """How many texts so far were longer than the model reads."""

    @abstractmethod
    def columns(self, table: Table) -> Columns:
        """Those that are read. Raises `AlbertError` (bad-data) where they are not there."""

    @abstractmethod
    def values(self, examples: Sequence[Example]) -> Iterable[tuple[Any, ...]]:
        """What each example gets in the added columns."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """All that changes a value, JSON-ready."""

    def remarks(self) -> tuple[str, ...]:
        """Remarks on the values so far."""
        return ()


class Predicting(Work):
    """Predictions: the best one and its score, or a list of them."""

    def __init__(self, predictor: Predictor, options: DecodeOptions) -> None:
        self.predictor, self.options = predictor, options
        task = predictor.task
        self._single = options.top_k == 1 and not task.plural
        self.added = ("prediction", "score") if self._single else (task.plural or "predictions",)
        self.wanted = (*predictor.columns.texts(), *predictor.columns.choices)

    @property
    def cut(self) -> int:
        return self.predictor.cut

    def columns(self, table: Table) -> Columns:
        return self.predictor.columns_of(table)

    def values(self, examples: Sequence[Example]) -> Iterable[tuple[Any, ...]]:
        found = self.predictor.predict(examples, self.options)
        return (self._best(best[0]) if self._single else (best,) for best in found)

    def _best(self, prediction: Prediction) -> tuple[Any, ...]:
        """The prediction of a row; for vectors, the vector itself."""
        return prediction.get("embedding", prediction[self.predictor.task.answer]), prediction["score"]

    def identity(self) -> dict[str, Any]:
        """The model, and the options of this work."""
        return {**self.predictor.identity(), **asdict(self.options)}

    def remarks(self) -> tuple[str, ...]:
        return self.predictor.remarks()


class Moderating(Work):
    """Whether a text is flagged, by which labels, and their scores."""

    added = ("flagged", "categories", "category_scores")

    def __init__(self, predictor: Predictor, safe_labels: Sequence[str] = SAFE_LABELS) -> None:
        require_ability(predictor.abilities, "moderations", predictor.task.name)
        self.predictor, self.safe = predictor, tuple(safe_labels)
        self.wanted = (predictor.columns.text,)

    @property
    def cut(self) -> int:
        return self.predictor.cut

    def columns(self, table: Table) -> Columns:
        return Columns(text_column(table, self.predictor.columns.text))

    def values(self, examples: Sequence[Example]) -> Iterable[tuple[Any, ...]]:
        found = self.predictor.moderate([example.text for example in examples], safe_labels=self.safe)
        return (tuple(each[name] for name in self.added) for each in found)

    def identity(self) -> dict[str, Any]:
        """The model, and the options of this work."""
        return {**self.predictor.identity(), "safe labels": self.safe}


class Fitting(Work):
    """How well a text fits a query."""

    added = ("score",)

    def __init__(self, predictor: Predictor, query: str, *, raw_scores: bool = False) -> None:
        require_ability(predictor.abilities, "rerank", predictor.task.name)
        self.predictor, self.query, self.raw = predictor, query, raw_scores
        self._text = predictor.columns.text_pair or predictor.columns.text  # the first text of a pair is the query
        self.wanted = (self._text,)

    @property
    def cut(self) -> int:
        return self.predictor.cut

    def columns(self, table: Table) -> Columns:
        return Columns(text_column(table, self._text))

    def values(self, examples: Sequence[Example]) -> Iterable[tuple[Any, ...]]:
        texts = [example.text for example in examples]
        return ((score,) for score in self.predictor.fits(self.query, texts, raw_scores=self.raw).tolist())

    def identity(self) -> dict[str, Any]:
        """The model, and the options of this work."""
        return {**self.predictor.identity(), "query": self.query, "raw scores": self.raw}


class Embedding(Work):
    """The vector of a text: lists of numbers, or `arrays`."""

    added = ("embedding",)

    def __init__(
        self,
        model: Predictor | PretrainedModel,
        *,
        normalize: bool = True,
        dimensions: int | None = None,
        arrays: bool = False,
    ) -> None:
        self.model, self.normalize, self.dimensions, self.arrays = model, normalize, dimensions, arrays
        self.size = self._embed([]).shape[1]  # refuses a model without vectors, and dimensions that it lacks
        self._text = model.columns.text if isinstance(model, Predictor) else "text"
        self.wanted = (self._text,)

    @property
    def cut(self) -> int:
        return self.model.cut

    def columns(self, table: Table) -> Columns:
        """The column of the texts."""
        return Columns(text_column(table, self._text))

    def values(self, examples: Sequence[Example]) -> Iterable[tuple[Any, ...]]:
        """The vector of each text."""
        table = self._embed([example.text for example in examples])
        return ((row,) for row in (table if self.arrays else as_lists(table)))

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        return self.model.embed(texts, normalize=self.normalize, dimensions=self.dimensions)

    def identity(self) -> dict[str, Any]:
        """The model, and the options of this work."""
        return {**self.model.identity(), "normalize": self.normalize, "dimensions": self.dimensions}
