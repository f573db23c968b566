"""`Predictor`: a fine-tuned model with its tokenizer and task, ready for texts."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self, Unpack

import numpy as np
from jaxtyping import Float

from albert.compute.precision import has_int8
from albert.compute.quantized import Calibration, load_ranges
from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.data.examples import Columns, Example, require_named
from albert.data.reading import DataSource, LabelledOptions, data_options
from albert.data.tables import Table
from albert.engine import Engine, Precision
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, load_model
from albert.model.folder import ModelFolder
from albert.model.sentences import length_limit
from albert.predict import vectors
from albert.predict.abilities import abilities_of, require_ability, require_length, require_texts
from albert.predict.evaluation import Evaluation, evaluated
from albert.predict.inputs import Input, as_example
from albert.predict.moderation import SAFE_LABELS, moderated
from albert.predict.rank import cosines, pair_scores, ranked
from albert.predict.words import Read, Words, computed
from albert.storage.files import INT8, MANIFEST, folder_fingerprint, manifest_entries, sha256
from albert.tasks import DecodeOptions, Lengths, Prediction, Task, task_named
from albert.tasks.base import Output
from albert.tasks.multilabel import MultiLabelClassification, label_limits
from albert.tasks.published import columns_of, task_of, usual_columns
from albert.tasks.stored import StoredTask, as_trained, lengths_of, require_fit
from albert.text.encodings import Tokenizer
from albert.text.open import open_tokenizer

_told = logging.getLogger("albert")
_CHUNK = 1024  # the number of examples computed at a time


class Predictor:
    """Predicts with a model folder that `albert train` wrote. Call it with a text, a pair, or a list of them."""

    def __init__(
        self,
        model: AlbertForTask,
        tokenizer: Tokenizer,
        task: Task,
        columns: Columns | None,
        *,
        lengths: Lengths,
        thresholds: tuple[float, ...] = (),
        precision: Precision = "auto",
        calibration: Calibration | None = None,
        exit_threshold: float | None = None,
        fingerprint: str = "",
        name: str = "model",
        words: Words | None = None,
    ) -> None:
        """`columns` are those of training. Without them, the columns of a file are found by their names."""
        self.model = model.eval()
        self.engine = Engine(self.model, precision, calibration=calibration, exit_threshold=exit_threshold)
        self.tokenizer = tokenizer
        self.task = task
        self.columns = columns or usual_columns(task)
        self.trained = columns is not None  # trained here, so its files have these columns
        self.lengths = lengths
        self.thresholds = thresholds  # thresholds of decisions, tuned on dev
        self.fingerprint = fingerprint  # identifies the files it came from
        self.name = name  # folder or hub id
        self.words = words  # a linear model beside the head
        self.labels = model.config.id2label
        self._aside = ThreadPoolExecutor(1)  # one thread, kept: every new thread may take memory of its own and keep it
        self.cut = 0  # the number of texts so far that were cut

    @classmethod
    def load(
        cls,
        name: str | Path | ModelFolder,
        *,
        precision: Precision | Literal["int8"] = "auto",
        early_exit: bool = True,
        hardening: bool = True,
        cascade: bool | None = None,
    ) -> Self:
        """Loads a model folder or hub id. One without our task settings is read as transformers reads it (`task_of`).

        `precision`: fp32, bf16, int8 if the model was exported so, or "auto", the fastest on this machine. A model
        trained with early exit leaves early unless `early_exit` is false. One trained with hardening hardens its texts
        unless `hardening` is false. One trained with `cascade` lets words alone answer; None: as `early_exit` says.

        Raises `AlbertError` (bad-model) when the model has no task to predict.
        """
        folder = ModelFolder.open(name)
        with folder.unchanged():
            cascade = early_exit if cascade is None else cascade
            return cls._load(folder, precision, early_exit=early_exit, hardening=hardening, cascade=cascade)

    @classmethod
    def _load(
        cls,
        folder: ModelFolder,
        precision: Precision | Literal["int8"],
        *,
        early_exit: bool,
        hardening: bool,
        cascade: bool,
    ) -> Self:
        model, path, name = load_model(folder), folder.path, folder.name
        config, source = model.config, str(path / "config.json")
        stored = StoredTask.of(config.extra, source)
        task = task_named(stored.task) if stored.task else task_of(model, path)
        if task is None:
            raise AlbertError(
                ErrorKind.MODEL,
                f"{name} has no task to predict with (head {model.head_name})",
                expected="a model that `albert train` wrote, or one with a head for a task",
                hint="fine-tune it first: albert train data.csv --init FOLDER -o out",
            )
        task = as_trained(task, stored, source)
        tokenizer = open_tokenizer(path, config=config)
        tokenizer = tokenizer if hardening else tokenizer.with_hardening(None)
        limit = min(tokenizer.max_length, config.max_position_embeddings, length_limit(path) or sys.maxsize)
        lengths = lengths_of(stored, config.extra, task, limit, source)
        require_fit(stored, task, model.head_name, lengths, config, source)
        calibration = _calibration(path, precision)
        return cls(
            model,
            tokenizer,
            task,
            stored.columns,
            lengths=lengths,
            thresholds=stored.thresholds,
            precision="auto" if precision == "int8" else precision,
            calibration=calibration,
            exit_threshold=stored.early_exit.threshold if early_exit else None,
            fingerprint=_fingerprint(path, int8=calibration is not None),
            name=name,
            words=Words.load(path, stored, task, config, tokenizer, cascade=cascade),
        )

    def __call__(
        self,
        inputs: Input | Sequence[Input] | None = None,
        *,
        question: str | None = None,
        context: str | None = None,
        top_k: int | None = 1,
        aggregation: str = "first",
        max_answer: int = 30,
        handle_impossible_answer: bool | None = None,
        raw_scores: bool = False,
    ) -> list[Any]:
        """For one input its predictions, best first. For a list one prediction each (a list each unless `top_k` is 1).

        An input is a text, a pair (text, text_pair), or {"text": …, "text_pair": …, "choices": […]}. `question` and
        `context`, or a dict of them, are a pair. Entities come as a list per text, in its order; `aggregation` (none,
        simple, first, average, max) says how they are made from pieces. Answers have at most `max_answer` pieces. With
        `handle_impossible_answer`, "" is an answer (None: if the model was trained so). `raw_scores` gives logits for
        labels and numbers.
        """
        if inputs is None:
            if question is None or context is None:
                raise AlbertError(ErrorKind.USAGE, "input", expected="inputs, or question and context", got="neither")
            inputs = (question, context)
        options = DecodeOptions(
            top_k=top_k,
            aggregation=aggregation,
            max_answer=max_answer,
            no_answer=handle_impossible_answer,
            raw_scores=raw_scores,
        )
        single = isinstance(inputs, (str, dict, tuple))
        items: Sequence[Any] = [inputs] if single else inputs  # type: ignore[assignment]
        predictions = self.predict([as_example(item) for item in items], options)
        if single:
            return predictions[0]
        return predictions if top_k != 1 or self.task.plural else [best[0] for best in predictions]

    def predict(self, examples: Sequence[Example], options: DecodeOptions | None = None) -> list[list[Prediction]]:
        """The predictions for each example, best first or in the order of the text.

        Raises `AlbertError` (usage) for raw scores of a task without labels or numbers.
        """
        options = options or DecodeOptions()
        if options.raw_scores and self.task.pipeline != "text-classification":
            raise AlbertError(
                ErrorKind.USAGE, "raw scores", expected="a model whose texts get labels or a number",
                got=f"task {self.task.name}",
            )  # fmt: skip
        return self.decode(self.outputs(examples), options)

    def decode(self, outputs: Iterable[Output], options: DecodeOptions) -> list[list[Prediction]]:
        """The predictions for each output, with the model's own thresholds unless the options have some."""
        if not options.thresholds:
            options = dataclasses.replace(options, thresholds=self.thresholds)
        return [self.task.decode(output, self.labels, options) for output in outputs]

    def embed(
        self, texts: Sequence[str], *, normalize: bool = True, dimensions: int | None = None
    ) -> Float[np.ndarray, "texts size"]:
        """Vectors of a model for similarity or retrieval, of length 1 unless told otherwise; longer texts are cut.

        Of `dimensions` the first are kept. Raises `AlbertError`: bad-model for another model, usage for more
        dimensions than there are.
        """
        require_ability(self.abilities, "embed", self.task.name)
        return vectors.embed(self, texts, normalize=normalize, dimensions=dimensions)

    def vectors(self, features: Features) -> list[np.ndarray]:
        """The vector of each row, as the head of a model for similarity or retrieval gives it."""
        return self.engine.logits(features)

    def rerank(self, query: str, texts: Sequence[str], *, raw_scores: bool = False) -> list[dict[str, Any]]:
        """The texts by how well they fit the query, best first: `{index, score, text}`.

        The score is the cosine of the vectors, or of a cross-encoder the sigmoid of its number, which `raw_scores`
        gives as it is. Raises `AlbertError` (bad-model) for a model that does neither.
        """
        return ranked(self.fits(query, texts, raw_scores=raw_scores), texts)

    def fits(self, query: str, texts: Sequence[str], *, raw_scores: bool = False) -> Float[np.ndarray, " texts"]:
        """The scores of `rerank`, in the order of the texts."""
        require_ability(self.abilities, "rerank", self.task.name)
        require_texts(texts)
        if "embed" in self.abilities:
            return cosines(self.embed([query])[0], self.embed(texts))
        return pair_scores(self.outputs([Example(query, text) for text in texts]), raw=raw_scores)

    def moderate(self, texts: Sequence[str], *, safe_labels: Sequence[str] = SAFE_LABELS) -> list[dict[str, Any]]:
        """`{flagged, categories, category_scores}` of each text, as OpenAI's moderations: flagged by its labels.

        `safe_labels` flag no text. Raises `AlbertError` (bad-model) for a model without labels for texts.
        """
        require_ability(self.abilities, "moderations", self.task.name)
        require_texts(texts)
        outputs = list(self.outputs([Example(text) for text in texts]))
        return moderated(self.task, outputs, self.labels, thresholds=self.thresholds, safe=safe_labels)

    @property
    def abilities(self) -> frozenset[str]:
        """What it can do, by the names of the endpoints."""
        return abilities_of(self.task, self.model.head_name, self.labels)

    @property
    def config(self) -> AlbertConfig:
        return self.model.config

    @property
    def max_length(self) -> int:
        """The pieces that it reads at once."""
        return self.lengths.max_length

    @property
    def limits(self) -> list[float] | None:
        """The probability from which each label is given, of a model that gives several; None of another one."""
        several = isinstance(self.task, MultiLabelClassification)
        return label_limits(self.thresholds, self.labels).tolist() if several else None

    def outputs(self, examples: Sequence[Example]) -> Iterator[Output]:
        """The head's output for each example. While a portion is computed, the next ones are encoded."""
        portions = [examples[start : start + _CHUNK] for start in range(0, len(examples), _CHUNK)]
        prepared = (self._aside.map if len(portions) > 1 else map)(self._prepare, portions)
        for rest, features, read in prepared:
            found = Output.each(rest, features, self.engine.logits(features)) if rest else []
            yield from found if read is None else read.joined(found)

    def _prepare(self, examples: Sequence[Example]) -> tuple[Sequence[Example], Features, Read | None]:
        """The examples that the network reads, encoded, and what a linear model says of all, if there is one."""
        read = None if self.words is None else self.words.read(examples)
        rest = examples if read is None else read.rest
        return rest, self.encode(rest), read

    def features(self, examples: Sequence[Example]) -> tuple[Features, int]:
        """The examples as the model reads them, and how many were cut.

        Raises `AlbertError` (bad-data) for pairs of texts if the model cannot tell two texts apart.
        """
        features, cut = self.task.features(self.tokenizer, examples, self.lengths)
        if self.config.type_vocab_size < 2 and features.types.any():
            raise AlbertError(
                ErrorKind.DATA, "a pair of texts", expected="single texts, as the model has one token type", got="two"
            )
        return features, cut

    def encode(self, examples: Sequence[Example]) -> Features:
        """The examples as the model reads them; those that were cut are counted."""
        features, cut = self.features(examples)
        self.cut += cut
        return features

    def fitted(self, source: DataSource) -> Self:
        """This predictor with the columns and lengths that a source names in the place of those of training.

        Raises `AlbertError` (usage) for a length beyond the model's, or another task.
        """
        if source.task not in (None, self.task.name):
            raise AlbertError(ErrorKind.USAGE, f"task {source.task}", expected=f"{self.task.name}, the model's own")
        lengths = self.lengths.adjusted(source.max_length, source.stride)
        limit = min(self.tokenizer.max_length, self.config.max_position_embeddings)
        if source.max_length is not None:
            require_length(source.max_length, limit)
        other = copy.copy(self)
        other.lengths = lengths
        other.columns = Columns(
            source.text or self.columns.text,
            source.text_pair or self.columns.text_pair,
            source.label or self.columns.label,
            tuple(source.choices.split(",")) if source.choices else self.columns.choices,
        )
        return other

    @data_options
    def evaluate(self, data: str | Path | DataSource, **options: Unpack[LabelledOptions]) -> Evaluation:
        """Scores on a labelled file, with the columns and lengths of training unless the options name others.

        Raises `AlbertError` (bad-data) for bad rows.
        """
        source = DataSource.of(data, **options)
        fitted = self.fitted(source)
        evaluation = evaluated(fitted, source)
        self.cut = fitted.cut
        return evaluation

    def judged(self, examples: Sequence[Example]) -> tuple[list[Output], tuple[str, ...]]:
        """The outputs for examples with gold, and remarks on them. Raises `AlbertError` for labels that are unknown."""
        features = self.encode(examples)
        self.task.targets(examples, features, self.labels)
        remarks = tuple(self.task.remarks(examples, features))
        outputs, told = computed(self, examples, features)
        return outputs, (*remarks, *told)

    def columns_of(self, table: Table) -> Columns:
        """The columns of a table that hold this model's texts: those of training, or the only one there is.

        For a model from elsewhere they are found by their names. Raises `AlbertError` (bad-data) if they do not exist.
        """
        wanted = self.columns.texts()
        if table.source.text or table.source.text_pair or table.source.choices:
            require_named(table, *wanted, *self.columns.choices)
        elif not self.trained and (named := columns_of(self.task, table)):
            return named
        if all(name in table.columns for name in (*wanted, *self.columns.choices)):
            return dataclasses.replace(self.columns, label=None)
        if len(wanted) == 1 and not self.columns.choices and len(table.columns) == 1:
            return Columns(table.columns[0])
        raise AlbertError(
            ErrorKind.DATA,
            f"{table.path}: text columns",
            expected=" and ".join((*wanted, *self.columns.choices)),
            got=", ".join(table.columns),
            hint="rename the columns, or give a file with the texts alone"
            + (f"; {table.advice}" if table.advice else ""),
        )

    def remarks(self) -> tuple[str, ...]:
        """What is to be known of the answers so far."""
        return ()

    def identity(self) -> dict[str, Any]:
        """Everything that changes an answer: the model's files, and how they are computed."""
        early, hardening = self.engine.early, self.tokenizer.hardening
        return {
            "model": self.fingerprint,
            "precision": f"int8 and {self.engine.precision}" if self.engine.int8 else self.engine.precision,
            "device": self.engine.device.type,
            "early exit": None if early is None else early.threshold,
            "cascade": self.words is not None and self.words.cascade is not None,
            "hardening": None if hardening is None else hardening.to_dict(),
            "lengths": dataclasses.asdict(self.lengths),
            "thresholds": self.thresholds,
            "texts": dataclasses.asdict(self.columns),
        }

    def __repr__(self) -> str:
        precision = "int8" if self.engine.int8 else self.engine.precision
        return f"Predictor({self.task.name}, {precision}, {json.dumps(self.labels)[:80]})"


def _fingerprint(folder: Path, *, int8: bool) -> str:
    """Identifies the files behind the answers. A folder may have no manifest, which would list the int8 form."""
    return folder_fingerprint(folder) + (f"-{sha256(folder / INT8)}" if int8 else "")


def _calibration(folder: Path, precision: str) -> Calibration | None:
    path = folder / INT8
    if precision == "int8" and not path.is_file():
        raise AlbertError(
            ErrorKind.MODEL, f"{folder}: precision int8", expected=f"{INT8} in it",
            hint="make it: albert export MODEL --to int8 --dev DEV",
        )  # fmt: skip
    wanted = precision == "int8" or (precision == "auto" and has_int8())
    entries = manifest_entries(folder)
    if wanted and precision == "auto" and path.is_file() and entries is not None and INT8 not in entries:
        _told.warning(f"{path} is not used, as {MANIFEST} does not vouch for it: export the model again")
        return None
    return load_ranges(path) if wanted and path.is_file() else None
