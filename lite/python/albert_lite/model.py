"""`Model`: a folder that `albert train` wrote, or a published ALBERT, ready for texts."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert_lite.library import Answer, Decoding, Input, LiteError, Options, Text, call, library

if TYPE_CHECKING:
    import numpy as np

Prediction = dict[str, Any]  # with the keys of transformers' pipelines
Given = str | tuple[str, str] | dict[str, Any]
_AGGREGATIONS = ("first", "average", "max", "simple", "none")
_PLURAL = {"ner": "entities", "multilabel": "labels"}  # tasks with none or several predictions a text
_PORTION = 1024  # inputs of one call


def load(
    folder: str | Path,
    *,
    precision: str = "auto",
    instructions: str | None = None,
    threads: int = 1,
    hardening: bool = True,
) -> Model:
    """Opens a model folder.

    `precision`: fp32, bf16, int8, or "auto", the fastest that folder and processor have. `instructions` names kernels
    (`Model.about` has those in use); None: the fastest. With `hardening` false, hostile text is read as it is. Raises
    `LiteError`: bad-model, bad-config, usage.
    """
    options = Options(_encoded(precision), _encoded(instructions), threads, not hardening)
    return Model(call("open", os.fsencode(folder), ctypes.byref(options)))


class Model:
    """An open model. Call it with a text, a pair, or a list of them, as `albert.load` gives them.

    `about` says what it is: task, labels, precision, lengths. `cut` counts the texts so far that were cut.
    """

    def __init__(self, handle: int) -> None:
        """`handle` is what the library made; the model owns it."""
        self._handle = handle
        self._close = weakref.finalize(self, library().albert_lite_close, handle)
        self.about: dict[str, Any] = json.loads(library().albert_lite_about(handle))
        self.task: str = self.about["task"]
        self.labels: tuple[str, ...] = tuple(self.about["labels"])
        self.plural: str | None = _PLURAL.get(self.task)
        self.answer = {"qa": "answer", "choice": "choice"}.get(self.task, "label")  # the key of what is predicted
        self.cut = 0

    def __call__(
        self,
        inputs: Given | Sequence[Given],
        *,
        top_k: int | None = 1,
        aggregation: str = "first",
        max_answer: int = 30,
        handle_impossible_answer: bool | None = None,
        raw_scores: bool = False,
    ) -> list[Any]:
        """For one input its predictions, best first; for a list one prediction each (a list each unless `top_k` is 1).

        An input is a text, a pair (text, text_pair), or {"text": …, "text_pair": …, "choices": […]}. The options are
        those of albert's `Predictor`. Raises `LiteError`: bad-data, usage.
        """
        single = isinstance(inputs, (str, dict, tuple))
        items: Sequence[Any] = [inputs] if single else inputs  # type: ignore[assignment]
        decoding = _decoding(top_k, aggregation, max_answer, handle_impossible_answer, raw_scores)
        predictions = [found for portion in _portions(items) for found in self._predict(portion, decoding)]
        if single:
            return predictions[0]
        return predictions if top_k != 1 or self.plural else [best[0] for best in predictions]

    def logits(self, inputs: Sequence[Given]) -> list[list[np.ndarray]]:
        """What the head says of each input, window by window or choice by choice: float32 [rows, labels] each."""
        with self._predicted(inputs, None) as answers:
            return [list(_logits(answers, number)) for number in range(len(inputs))]

    def embed(self, texts: Sequence[str], *, normalize: bool = True) -> np.ndarray:
        """A vector a text, float32 [texts, size], of length 1 unless told otherwise. Raises `LiteError` (bad-model)."""
        import numpy as np

        found = [np.zeros((0, self.about["hidden_size"]), np.float32)]
        for portion in _portions(texts):
            array = (Text * len(portion))(*map(Text.of, portion))
            with _answers("embed", self._handle, array, len(portion), normalize) as answers:
                found.append(np.stack([_vector(_get(answers, number)[0]) for number in range(len(portion))]))
                self.cut += library().albert_lite_cut(answers)
        return np.concatenate(found)

    def fill_mask(self, text: str, *, top_k: int = 5) -> list[Any]:
        """The likeliest pieces at [MASK]: `{score, token, token_str, sequence}`, a list each for several [MASK]s."""
        with _answers("fill_mask", self._handle, Text.of(text), top_k) as answers:
            masks = range(library().albert_lite_lists(answers))
            filled = [[_filled(text, answer) for answer in _get(answers, mask)] for mask in masks]
        return filled[0] if len(filled) == 1 else filled

    def tokenize(self, text: str, pair: str | None = None, *, max_length: int = 0) -> list[tuple[str, int, int, int]]:
        """(piece, id, start, end) as the model reads them, cut to `max_length` (0: the model's); -1 for no place."""
        with _answers("tokenize", self._handle, Text.of(text), Text.of(pair), max_length) as answers:
            return [(piece.label.read(), piece.index, piece.start, piece.end) for piece in _get(answers, 0)]

    def _predict(self, inputs: Sequence[Given], decoding: Decoding) -> list[list[Prediction]]:
        shape = _SHAPES.get(self.task, _labelled)
        with self._predicted(inputs, ctypes.byref(decoding)) as answers:
            self.cut += library().albert_lite_cut(answers)
            return [[shape(answer) for answer in _get(answers, number)] for number in range(len(inputs))]

    def _predicted(self, inputs: Sequence[Given], decoding: Any) -> contextlib.AbstractContextManager[int]:
        array = (Input * len(inputs))(*map(_input, inputs))
        return _answers("predict", self._handle, array, len(inputs), decoding)

    def __repr__(self) -> str:
        return f"Model({self.task}, {self.about['precision']}, {json.dumps(self.labels)[:80]})"


# --- from Python to C --------------------------------------------------------------------------------------


def _encoded(name: str | None) -> bytes | None:
    return None if name is None else name.encode()


def _portions(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[start : start + _PORTION] for start in range(0, len(items), _PORTION))


def _input(item: Given) -> Input:
    """A text, a pair or a dict of them. Raises `LiteError` (usage) for anything else."""
    text: Any = item
    pair: Any = None
    choices: Sequence[str] = ()
    if isinstance(item, tuple) and len(item) == 2:
        text, pair = item
    elif isinstance(item, dict):
        text = item.get("text", item.get("question"))
        pair, choices = item.get("text_pair", item.get("context")), item.get("choices", ())
    if not isinstance(text, str) or not isinstance(pair, str | None):
        raise LiteError(f'error[usage] input: expected a text, a pair or {{"text": …}}, got {str(item)[:60]}', 2)
    array = (Text * len(choices))(*map(Text.of, choices))
    return Input(Text.of(text), Text.of(pair), array, len(choices))


def _decoding(
    top_k: int | None, aggregation: str, max_answer: int, no_answer: bool | None, raw_scores: bool
) -> Decoding:
    if aggregation not in _AGGREGATIONS:
        expected = ", ".join(sorted(_AGGREGATIONS))
        raise LiteError(f"error[usage] aggregation: expected one of {expected}, got {aggregation!r}", 2)
    if top_k is not None and top_k < 1:
        raise LiteError(f"error[usage] top_k: expected a whole number from 1, or None for all, got {top_k}", 2)
    silent = -1 if no_answer is None else int(no_answer)
    return Decoding(top_k or 0, max_answer, _AGGREGATIONS.index(aggregation), silent, raw_scores)


# --- from C to Python --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _answers(name: str, *arguments: Any) -> Iterator[int]:
    answers = call(name, *arguments)
    try:
        yield answers
    finally:
        library().albert_lite_free(answers)


def _get(answers: int, number: int) -> list[Answer]:
    """The answers of a list. What they point to lives as long as `answers`."""
    count = library().albert_lite_count(answers, number)
    return [library().albert_lite_get(answers, number, place) for place in range(count)]


def _logits(answers: int, number: int) -> Iterator[np.ndarray]:
    import numpy as np

    rows, columns = ctypes.c_int64(), ctypes.c_int64()
    window = 0
    while found := library().albert_lite_logits(answers, number, window, ctypes.byref(rows), ctypes.byref(columns)):
        yield np.ctypeslib.as_array(found, (rows.value, columns.value)).copy()
        window += 1


def _vector(answer: Answer) -> np.ndarray:
    import numpy as np

    return np.ctypeslib.as_array(answer.vector, (answer.vector_size,)).copy()


def _labelled(answer: Answer) -> Prediction:
    made: Prediction = {"label": answer.label.read(), "score": answer.score}
    if answer.vector_size:
        made["embedding"] = answer.vector[: answer.vector_size]
    return made


def _entity(answer: Answer) -> Prediction:
    place = {"word": answer.part.read(), "start": answer.start, "end": answer.end}
    if answer.index < 0:
        return {"entity_group": answer.label.read(), "score": answer.score, **place}
    return {"entity": answer.label.read(), "score": answer.score, "index": answer.index, **place}


def _answered(answer: Answer) -> Prediction:
    return {"score": answer.score, "start": answer.start, "end": answer.end, "answer": answer.label.read()}


def _chosen(answer: Answer) -> Prediction:
    return {"choice": answer.label.read(), "index": answer.index, "score": answer.score}


def _filled(text: str, answer: Answer) -> Prediction:
    piece = answer.label.read()
    sequence = text[: answer.start] + piece + text[answer.end :]
    return {"score": answer.score, "token": answer.index, "token_str": piece, "sequence": sequence}


_SHAPES: dict[str, Callable[[Answer], Prediction]] = {"ner": _entity, "qa": _answered, "choice": _chosen}
