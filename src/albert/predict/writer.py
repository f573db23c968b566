"""`Writer`: a network with a decoder, its tokenizer and its task, ready for texts. It answers with texts."""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

from albert.compute.precision import Precision
from albert.compute.writing import fast_writing
from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.data.examples import Columns, Example
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.generation import GenerationOptions, Network
from albert.generation.options import GREEDY
from albert.generation.rules import FREE, Forced
from albert.model import AlbertForText2Text, load_text2text
from albert.model.folder import ModelFolder
from albert.model.sentences import length_limit
from albert.predict.abilities import WRITES
from albert.predict.draft import Draft
from albert.predict.inputs import Input, as_example
from albert.predict.predictor import Predictor
from albert.tasks import WRITING, DecodeOptions, Lengths, Prediction, task_named
from albert.tasks.base import Output
from albert.tasks.stored import StoredTask, as_trained, lengths_of, require_fit
from albert.tasks.text2text import Text2Text
from albert.text.encodings import Tokenizer
from albert.text.open import open_tokenizer


class Writer(Predictor):
    """A model that `albert train --task text2text` trained. Call it with a text or a list of texts.

    `generation` are its options unless a call gives others. `limited` counts the texts so far that reached a limit on
    length.
    """

    def __init__(
        self,
        model: AlbertForText2Text,
        tokenizer: Tokenizer,
        task: Text2Text,
        columns: Columns,
        *,
        lengths: Lengths,
        generation: GenerationOptions = GREEDY,
        fingerprint: str = "",
        name: str = "model",
        precision: Precision | Literal["int8"] | None = None,
    ) -> None:
        """With a `precision`, writes with a fast form of the model's present weights if there is one. Without, or where
        there is none, the model itself writes, in fp32.

        Raises `AlbertError` (usage) for a precision that this model or this machine does not have.
        """
        self.network = model.eval()
        fast = None if precision is None else fast_writing(self.network, precision)
        self.form: Network = fast or self.network
        self.precision = "fp32" if fast is None else fast.precision
        self.tokenizer = tokenizer
        self.task = task.with_places()  # for alignments; it costs little beside the writing
        self.columns = columns
        self.trained = True
        self.lengths = lengths
        self.thresholds = ()
        self.words = None
        self.generation = generation
        self.fingerprint = fingerprint
        self.name = name
        self.labels = ()
        self.cut = 0
        self.limited = 0
        self._aside = ThreadPoolExecutor(1)

    @property
    def config(self) -> AlbertConfig:
        return self.network.config

    @property
    def abilities(self) -> frozenset[str]:
        return WRITES

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
        """Loads a model folder or hub id. `precision` as for `fast_writing`; `early_exit` and `cascade` change nothing.

        Raises `AlbertError`: bad-model for one without a decoder, usage for a precision that it does not have here.
        """
        if precision not in (*get_args(Precision), "int8"):
            raise AlbertError(ErrorKind.CONFIG, "precision", expected="auto, fp32, bf16 or int8", got=repr(precision))
        folder = ModelFolder.open(name)
        if not folder.writes:
            raise AlbertError(ErrorKind.MODEL, folder.name, expected="a model that writes texts", got="one without")
        with folder.unchanged():
            return cls._open(folder, precision, hardening=hardening)

    @classmethod
    def _open(cls, folder: ModelFolder, precision: Precision | Literal["int8"], *, hardening: bool) -> Self:
        model, source = load_text2text(folder), str(folder.path / "config.json")
        stored = StoredTask.of(model.config.extra, source)
        if stored.task is not None and stored.task not in WRITING:
            raise AlbertError(ErrorKind.MODEL, f"{source}: task", expected=" or ".join(WRITING), got=stored.task)
        task = as_trained(task_named(stored.task or Text2Text.name), stored, source)
        assert isinstance(task, Text2Text)
        tokenizer = open_tokenizer(folder.path, config=model.config)
        tokenizer = tokenizer if hardening else tokenizer.with_hardening(None)
        limit = min(
            tokenizer.max_length, model.config.max_position_embeddings, length_limit(folder.path) or sys.maxsize
        )
        lengths = lengths_of(stored, model.config.extra, task, limit, source)
        require_fit(stored, task, task.head, lengths, model.config, source)
        columns = stored.columns or Columns("source", label="target")
        return cls(
            model, tokenizer, task, columns, lengths=lengths, fingerprint=folder.fingerprint, name=folder.name,
            precision=precision,
        )  # fmt: skip

    def writing(self, **options: Any) -> Self:
        """The same model with other defaults: options of `GenerationOptions` by name."""
        other = copy.copy(self)
        other.generation = dataclasses.replace(self.generation, **options)
        return other

    def __call__(  # type: ignore[override]
        self, inputs: Input | Sequence[Input], *, top_k: int = 1, options: GenerationOptions | None = None
    ) -> list[Any]:
        """One input: up to `top_k` texts for it, the best first. A list: the best text each, or a list each.

        An input is a text, or a pair of them. Each answer is {"text": …, "score": …}, and the score is the
        log-probability by the length in pieces.
        """
        single = isinstance(inputs, (str, dict, tuple))
        items: Sequence[Any] = [inputs] if single else inputs  # type: ignore[assignment]
        wanted = DecodeOptions(top_k=top_k, generation=options or self.generation)
        predictions = self.predict([as_example(item) for item in items], wanted)
        if single:
            return predictions[0]
        return predictions if top_k != 1 else [best[0] for best in predictions]

    def predict(self, examples: Sequence[Example], options: DecodeOptions | None = None) -> list[list[Prediction]]:
        """The texts for each example, the best first. Raises `AlbertError` (usage) for raw scores, or too many texts.

        `top_k` None asks for all that the beam finds.
        """
        options = options or DecodeOptions(generation=self.generation)
        if options.raw_scores:
            raise AlbertError(
                ErrorKind.USAGE, "raw scores", expected="a model with labels", got="one that writes texts"
            )
        outputs = self.write(examples, options.generation, options.top_k)
        return self.decode(outputs, options)

    def write(self, examples: Sequence[Example], generation: GenerationOptions, count: int | None = 1) -> list[Output]:
        """Up to `count` texts for each example, all of the beam's for None."""
        draft = self.draft(self.encode(examples), generation, count)
        while not draft.done:
            draft.step()
        self.limited += sum(bool(texts) and texts[0].cut for texts in draft.written)
        return draft.outputs(examples)

    def draft(self, features: Features, generation: GenerationOptions, count: int | None = 1) -> Draft:
        """The texts of `write` in the making, for examples that are encoded.

        Raises `AlbertError` (usage) for too many texts, and for a prefix or words that cannot be spelled or do not fit.
        """
        room = min(generation.max_length, self.config.max_position_embeddings - 1)
        bound = generation.prefix or generation.words
        forced = Forced.of(generation, self._plain, room=room) if bound else FREE
        return Draft(self.network, self.tokenizer, features, generation, count, forced=forced, form=self.form)

    @cached_property
    def _plain(self) -> Tokenizer:
        return self.tokenizer.with_hardening(None)

    def outputs(self, examples: Sequence[Example]) -> Iterator[Output]:
        yield from self.write(examples, self.generation)

    def judged(self, examples: Sequence[Example]) -> tuple[list[Output], tuple[str, ...]]:
        outputs = self.write(examples, self.generation)
        assert isinstance(self.task, Text2Text)
        return outputs, (*self.remarks(), *self.task.signatures(outputs))

    def fitted(self, source: DataSource) -> Self:
        for option, value in (("--stride", source.stride), ("--choices", source.choices)):
            if value is not None:  # a text that is read in parts would be answered in parts
                raise AlbertError(ErrorKind.USAGE, option, expected="a model with labels", got="one that writes texts")
        return super().fitted(source)

    def remarks(self) -> tuple[str, ...]:
        """How many texts so far a limit on length ended."""
        return (f"{self.limited:,} texts reached the limit on length and end there",) if self.limited else ()

    def identity(self) -> dict[str, Any]:
        hardening = self.tokenizer.hardening
        return {
            "model": self.fingerprint,
            "precision": self.precision,
            "device": self.network.device.type,
            "hardening": None if hardening is None else hardening.to_dict(),
            "lengths": dataclasses.asdict(self.lengths),
            "texts": dataclasses.asdict(self.columns),
        }

    def __repr__(self) -> str:
        return f"Writer({self.task.name}, {self.precision}, {self.tokenizer.vocab_size:,} pieces)"
