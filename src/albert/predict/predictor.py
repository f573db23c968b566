"""`Predictor`: a fine-tuned model with its tokenizer and task, ready for texts."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from albert.compute.precision import has_int8
from albert.compute.quantized import Calibration, load_ranges
from albert.data.batches import Features
from albert.data.examples import Columns, Example, guess_columns, label_values, named, read_examples
from albert.data.reading import Reading
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.engine import Engine, Precision
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, load_model
from albert.model.folder import ModelFolder
from albert.model.sentences import length_limit
from albert.predict.inputs import Input, as_example
from albert.storage.files import INT8, MANIFEST, as_json, folder_fingerprint, manifest_entries, sha256, write_output
from albert.tasks import DecodeOptions, Lengths, Prediction, Task, task_named
from albert.tasks.base import Output
from albert.tasks.facts import Facts
from albert.tasks.published import columns_of, task_of, usual_columns
from albert.tasks.stored import StoredTask, as_trained, lengths_of, require_fit
from albert.text.encodings import Tokenizer
from albert.text.open import open_tokenizer

_told = logging.getLogger("albert")
_CHUNK = 1024  # examples computed at a time


@dataclass(frozen=True)
class Evaluation:
    """Scores on a labelled file, beside what its most frequent answer would reach on `metric`.

    `interval` holds 95 % of the bootstrap distribution of `metric`, and `calibration_error` is the ECE (15 bins) where
    labels share one softmax. `remarks` tell what was odd in the file, in words, and `facts` are what a report is
    made of.
    """

    path: str
    rows: int
    metric: str
    scores: dict[str, float]
    baseline: float
    interval: tuple[float, float]
    calibration_error: float | None
    remarks: tuple[str, ...]
    facts: Facts = field(compare=False, repr=False)

    def save(self, path: str | Path) -> None:
        """Writes the scores as JSON; `albert.report.write_report(path, self.facts)` makes a page of them.

        Raises `AlbertError`: usage for a name that ends in .html, disk where it cannot be written.
        """
        if Path(path).suffix.lower() == ".html":
            raise AlbertError(
                ErrorKind.USAGE, str(path), expected="a name for JSON",
                hint="albert.report.write_report(path, evaluation.facts) writes a page",
            )  # fmt: skip
        named = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "facts"}
        write_output(Path(path), as_json(named))


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
    ) -> None:
        """Without `columns`, those of training, a file's are known by their names."""
        self.model = model.eval()
        self.config = model.config
        self.engine = Engine(self.model, precision, calibration=calibration, exit_threshold=exit_threshold)
        self.tokenizer = tokenizer
        self.task = task
        self.columns = columns or usual_columns(task)
        self.trained = columns is not None  # here, so that its files have these columns
        self.lengths = lengths
        self.thresholds = thresholds  # of decisions, tuned on dev
        self.fingerprint = fingerprint  # of the files it came from
        self.name = name  # folder or hub id
        self.labels = model.config.id2label
        self._aside = ThreadPoolExecutor(1)  # kept: every new thread may take memory of its own and keep that
        self.cut = 0  # texts so far that were longer than the model reads

    @classmethod
    def load(
        cls,
        name: str | Path | ModelFolder,
        *,
        precision: Precision | Literal["int8"] = "auto",
        early_exit: bool = True,
        hardening: bool = True,
    ) -> Self:
        """Loads a model folder or hub id. One without our task settings is read as transformers reads it (`task_of`).

        `precision`: fp32, bf16, int8 where the model was exported so, or what is fastest on this machine. A model
        trained with early exit leaves early unless told not to, and one trained with `hardening` hardens its texts so.

        Raises `AlbertError` (bad-model) when the model has no task to predict.
        """
        folder = ModelFolder.open(name)
        with folder.unchanged():
            return cls._load(folder, precision, early_exit=early_exit, hardening=hardening)

    @classmethod
    def _load(
        cls, folder: ModelFolder, precision: Precision | Literal["int8"], *, early_exit: bool, hardening: bool
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
        """One input: its predictions, best first. A list: one prediction each (a list each unless top_k is 1).

        An input is a text, a pair (text, text_pair), or {"text": …, "text_pair": …, "choices": […]}; `question` and
        `context`, or a dict of them, are a pair. Entities come as a list a text, in its order, made from pieces as
        `aggregation` says: none, simple, first, average or max. Answers have at most `max_answer` pieces, and with
        `handle_impossible_answer` (None: if the model was trained so) "" is one. `raw_scores` gives labels and numbers
        their logits.
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
        if not options.thresholds:
            options = dataclasses.replace(options, thresholds=self.thresholds)
        return [self.task.decode(output, self.labels, options) for output in self.outputs(examples)]

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of length 1, [texts, hidden], of a model for similarity or retrieval.

        Raises `AlbertError` (bad-model) for another one.
        """
        if self.model.head_name != "embedding":
            raise AlbertError(
                ErrorKind.MODEL, f"task {self.task.name}", expected="a model for similarity or retrieval", got="another"
            )
        vectors = [output.logits[0] for output in self.outputs([Example(text) for text in texts])]
        table = np.stack(vectors) if vectors else np.zeros((0, self.model.config.hidden_size), np.float32)
        return np.asarray(table / np.linalg.norm(table, axis=1, keepdims=True))

    def outputs(self, examples: Sequence[Example]) -> Iterator[Output]:
        """What the head says about each example; while a portion is computed those after it are encoded."""
        portions = [examples[start : start + _CHUNK] for start in range(0, len(examples), _CHUNK)]
        encoded = (self._aside.map if len(portions) > 1 else map)(self._encode, portions)
        for portion, features in zip(portions, encoded, strict=True):
            yield from Output.each(portion, features, self.engine.logits(features))

    def features(self, examples: Sequence[Example]) -> tuple[Features, int]:
        """The examples as the model reads them, and how many were cut.

        Raises `AlbertError` (bad-data) for pairs of texts where the model does not tell two texts apart.
        """
        features, cut = self.task.features(self.tokenizer, examples, self.lengths)
        if self.config.type_vocab_size < 2 and features.types.any():
            raise AlbertError(
                ErrorKind.DATA, "a pair of texts", expected="single texts, as the model has one token type", got="two"
            )
        return features, cut

    def _encode(self, examples: Sequence[Example]) -> Features:
        features, cut = self.features(examples)
        self.cut += cut
        return features

    def evaluate(
        self,
        path: str | Path,
        *,
        label: str | None = None,
        format: str | None = None,
        encoding: str = "utf-8",
        header: bool | None = None,
        word_column: int | None = None,
        tag_column: int | None = None,
        keep_na: bool = False,
    ) -> Evaluation:
        """Scores on a labelled file with the columns of training, read as `Reading` says.

        Raises `AlbertError` (bad-data) for bad rows.
        """
        reading = Reading(
            format=format, encoding=encoding, header=header, word_column=word_column, tag_column=tag_column,
            keep_na=keep_na,
        )  # fmt: skip
        table = Table(path, **reading.reading(), wanted=named(*self.columns.texts(), label or self.columns.label))
        wanted = label or self.columns.label or guess_columns(table).label
        columns = dataclasses.replace(self.columns_of(table), label=wanted)
        if columns.label not in table.columns:
            raise AlbertError(
                ErrorKind.DATA,
                f"{table.path}: no label column {columns.label!r}",
                got="columns " + ", ".join(table.columns),
                hint="name it with --label COLUMN" + (f"; {table.advice}" if table.advice else ""),
            )
        problems = Problems(table.path)
        parse_gold = self.task.parser(label_values(table, columns))
        examples = list(read_examples(table, columns, parse_gold, problems))
        problems.raise_if_any()
        if not examples:
            raise AlbertError(ErrorKind.DATA, table.path, expected="rows of data", got="a header alone")
        outputs, told = self._judged(examples)
        remarks = (*table.remarks, *problems.remarks, *told)
        scores = self.task.score(outputs, self.labels, self.thresholds)
        baseline = self.task.baseline(examples, examples, self.labels)
        facts = Facts(
            title=Path(self.name).name,
            task=self.task,
            labels=self.labels,
            outputs=outputs,
            scores=scores,
            baseline=baseline,
            tokenizer=self.tokenizer,
            lengths=self.lengths,
            about={"evaluation data": f"{table.path}, {len(examples):,} rows"},
            settings=self.config.to_dict(),
            files=(table.path,),
            columns=columns,
            **reading.reading(),
            thresholds=self.thresholds,
            metrics=Path(self.name) / "metrics.jsonl",
            remarks=remarks,
        )
        return Evaluation(
            path=table.path,
            rows=len(examples),
            metric=self.task.metric,
            scores=scores,
            baseline=baseline[1],
            interval=(facts.interval.low, facts.interval.high),
            calibration_error=facts.calibration_error,
            remarks=remarks,
            facts=facts,
        )

    def _judged(self, examples: Sequence[Example]) -> tuple[list[Output], tuple[str, ...]]:
        """The outputs on examples with gold, and what is to be known of them."""
        features = self._encode(examples)
        self.task.targets(examples, features, self.labels)  # refuses labels that the model does not know
        remarks = tuple(self.task.remarks(examples, features))
        found = self.engine.exits(features)
        if self.engine.early is not None:
            depths = self.model.config.num_hidden_layers
            remarks += (f"early exit: texts left at depth {found.depths.mean():.2f} of {depths} on average",)
        return Output.each(examples, features, found.logits), remarks

    def columns_of(self, table: Table) -> Columns:
        """Which columns of a table hold this model's texts: those of training, or the only one there is.

        Of a model from elsewhere they are told by their names. Raises `AlbertError` (bad-data) when they are not there.
        """
        wanted = self.columns.texts()
        if not self.trained and (named := columns_of(self.task, table)):
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

    def identity(self) -> dict[str, Any]:
        """All of it that changes an answer: the files and how they are computed with."""
        early, hardening = self.engine.early, self.tokenizer.hardening
        return {
            "model": self.fingerprint,
            "precision": f"int8 and {self.engine.precision}" if self.engine.int8 else self.engine.precision,
            "device": self.engine.device.type,
            "early exit": None if early is None else early.threshold,
            "hardening": None if hardening is None else hardening.to_dict(),
            "lengths": dataclasses.asdict(self.lengths),
            "thresholds": self.thresholds,
            "texts": dataclasses.asdict(self.columns),
        }

    def __repr__(self) -> str:
        precision = "int8" if self.engine.int8 else self.engine.precision
        return f"Predictor({self.task.name}, {precision}, {json.dumps(self.labels)[:80]})"


def _fingerprint(folder: Path, *, int8: bool) -> str:
    """Which files answers come from; a folder may have no manifest, which would know the int8 form."""
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
