"""What all tokenizers share: special tokens, truncation and windows; from texts and pairs to `Encoding`s."""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from albert.errors import AlbertError, ErrorKind
from albert.storage.files import read_vouched
from albert.storage.stored import parse, typed
from albert.text.hardening.hardener import Hardening
from albert.text.pieces import Pieces

Truncation = Literal["longest_first", "only_first", "only_second", "error"]
TextOrPair = str | tuple[str, str]


@dataclass(frozen=True)
class Encoding:
    """One model input. All lists have the same length. They include special tokens but no padding.

    `offsets` are [start, end) in the original text that `sequence_ids` names: 0 is the first text, 1 the second, None a
    special token, whose offsets are (0, 0). `word_ids` count the words of that text. `cut` is the number of pieces that
    truncation left out. `window` numbers the overlapping windows of one text. If encoded without `offsets`, the lists
    `offsets`, `word_ids` and `sequence_ids` are empty.
    """

    input_ids: list[int]
    token_type_ids: list[int]
    attention_mask: list[int]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]
    sequence_ids: list[int | None]
    cut: int = 0
    window: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class Specials:
    """The ids of the special tokens in a vocabulary."""

    pad: int
    unk: int
    cls: int
    sep: int
    mask: int


class Tokenizer(ABC):
    """A vocabulary, and the rules that divide texts into its pieces. Offsets are in the original text.

    `max_length` is how many pieces a model with this tokenizer reads. With `hardening`, hostile text is made readable
    first. With `case_marks`, token type 1 marks the pieces of a single text that are written with capital letters,
    which a vocabulary in lower case would lose.
    """

    vocabulary: list[str]
    special: Specials
    max_length: int
    hardening: Hardening | None
    case_marks: bool = False

    @abstractmethod
    def with_hardening(self, hardening: Hardening | None) -> Self:
        """The same tokenizer with this hardening; None for none."""

    def with_case_marks(self, case_marks: bool) -> Self:
        """The same tokenizer, which marks capital letters or does not."""
        other = copy.copy(self)
        other.case_marks = case_marks
        return other

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Writes the files that `open_tokenizer` and transformers read."""

    @abstractmethod
    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """The pieces of each text, without special tokens, uncut."""

    @abstractmethod
    def ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of `pieces` without their offsets, which are most of the cost. For whole corpora."""

    @abstractmethod
    def spelling(self, word: str) -> tuple[int, int]:
        """How many pieces a word has without hardening, and how many of them are unknown."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of the pieces, without special tokens."""

    @abstractmethod
    def after_mask(self, token: int) -> int | None:
        """The form of a piece that follows a mask without a space; None if nothing remains."""

    @abstractmethod
    def in_place_of_mask(self, token: int) -> str:
        """The characters in the text when a piece fills a mask."""

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @property
    def mask(self) -> str:
        """The mask's spelling in a text."""
        return self.vocabulary[self.special.mask]

    def tokenize(self, text: str) -> list[str]:
        """The text's pieces as strings, without special tokens."""
        return [self.vocabulary[token] for token in self.pieces([text])[0].ids]

    def __call__(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
    ) -> Encoding:
        """Encodes one text or pair as [CLS] A [SEP] (B [SEP]), cut to `max_length` (None: the model's)."""
        item = text if text_pair is None else (text, text_pair)
        return self.encode_batch([item], max_length=max_length, truncation=truncation)[0]

    def encode_batch(
        self,
        items: Sequence[TextOrPair],
        *,
        max_length: int | None = None,
        truncation: Truncation = "longest_first",
        offsets: bool = True,
    ) -> list[Encoding]:
        """Encodes many texts or pairs; see `__call__`. Without `offsets` it takes a third of the time.

        Raises `AlbertError` for a truncation that is not possible.
        """
        limit = self.max_length if max_length is None else max_length
        parts = self._parts(items, offsets)
        return [_cut(self.special, first, second, limit, truncation, offsets) for first, second in parts]

    def windows(
        self,
        items: Sequence[TextOrPair],
        *,
        max_length: int | None = None,
        stride: int = 128,
        offsets: bool = True,
    ) -> list[list[Encoding]]:
        """Encodes each long text or pair as windows. Neighbouring windows share `stride` pieces, and nothing is left
        out.

        In a pair, the second text is divided. The first text (a question) is in every window; it is cut only if it
        would fill more than half of the window. Raises `AlbertError` when a window has no room to move on.
        """
        limit = self.max_length if max_length is None else max_length
        parts = self._parts(items, offsets)
        return [_windows(self.special, first, second, limit, stride, offsets) for first, second in parts]

    def _parts(self, items: Sequence[TextOrPair], offsets: bool) -> Iterator[tuple[Pieces, Pieces | None]]:
        flat: list[str] = []
        for item in items:
            flat.extend((item,) if isinstance(item, str) else item)
        pieces = iter(self.pieces(flat) if offsets or self.case_marks else map(Pieces, self.ids(flat)))
        for item in items:
            if not isinstance(item, str):
                yield next(pieces), next(pieces)
            else:
                yield _marked(next(pieces), item) if self.case_marks else next(pieces), None


def _marked(pieces: Pieces, text: str) -> Pieces:
    """The pieces with marks at those whose part of the text has capital letters."""
    parts = [text[start:end] for start, end in pieces.offsets.tolist()]
    return replace(pieces, capitals=np.asarray([part != part.lower() for part in parts], np.int64))


def _cut(
    special: Specials, first: Pieces, second: Pieces | None, limit: int, truncation: Truncation, offsets: bool
) -> Encoding:
    lengths = (len(first), 0 if second is None else len(second))
    room = limit - (2 if second is None else 3)
    keep = _kept_lengths(lengths, room, truncation)
    cut = sum(lengths) - sum(keep)
    kept = _slice(first, 0, keep[0]), None if second is None else _slice(second, 0, keep[1])
    return _join(special, *kept, placed=offsets, cut=cut)


def _windows(
    special: Specials, first: Pieces, second: Pieces | None, limit: int, stride: int, offsets: bool
) -> list[Encoding]:
    moving, fixed, cut = first, None, 0
    room = limit - 2
    if second is not None:
        moving, fixed = second, _slice(first, 0, max((limit - 3) // 2, 0))
        cut = len(first) - len(fixed)
        room = limit - 3 - len(fixed)
    if stride < 0 or room <= stride:
        raise AlbertError(
            ErrorKind.CONFIG,
            "windows over a long text",
            expected=f"a stride from 0 to {max(room - 1, 0)} pieces for max_length {limit}",
            got=str(stride),
            hint="use a larger max_length, a smaller stride or a shorter question",
        )
    encodings: list[Encoding] = []
    start = 0
    while True:
        part = _slice(moving, start, start + room)
        pair = (part, None) if fixed is None else (fixed, part)
        encodings.append(_join(special, *pair, placed=offsets, cut=cut, window=len(encodings)))
        if start + room >= len(moving):
            return encodings
        start += room - stride


def _kept_lengths(lengths: tuple[int, int], room: int, truncation: Truncation) -> tuple[int, int]:
    """How many pieces of each text stay. "longest_first" removes pieces one by one from the longer text."""
    first, second = lengths
    excess = first + second - room
    if excess <= 0:
        return lengths
    if truncation == "longest_first" and room >= 0:
        shorter = min(first, second)
        shorter = shorter if shorter + shorter <= room else min(shorter, room // 2)
        return (shorter, room - shorter) if first <= second else (room - shorter, shorter)
    if truncation == "only_first" and first >= excess:
        return first - excess, second
    if truncation == "only_second" and second >= excess:
        return first, second - excess
    raise AlbertError(
        ErrorKind.DATA,
        f"text of {first + second} pieces",
        expected=f"at most {max(room, 0)} with truncation {truncation!r}",
        got=f"{first} in the first and {second} in the second text",
        hint="use truncation 'longest_first', a larger max_length, or windows",
    )


def _slice(pieces: Pieces, start: int, end: int) -> Pieces:
    return Pieces(*(part[start:end] for part in (pieces.ids, pieces.offsets, pieces.word_ids, pieces.capitals)))


def _join(
    special: Specials, first: Pieces, second: Pieces | None, *, placed: bool, cut: int = 0, window: int = 0
) -> Encoding:
    """[CLS] first [SEP], then second [SEP] with token type 1. `placed` asks for offsets and words, too.

    The pieces of a single text have its capitals as types, where they are marked.
    """
    ids: list[int] = [special.cls]
    types: list[int] = [0]
    offsets: list[tuple[int, int]] = [(0, 0)] * placed
    words: list[int | None] = [None] * placed
    sequences: list[int | None] = [None] * placed
    for index, pieces in enumerate((first, second)):
        if pieces is None:
            continue
        count = len(pieces)
        ids += [*pieces.ids.tolist(), special.sep]
        types += [*(pieces.capitals.tolist() or [index] * count), index]
        if placed:
            offsets += [*map(tuple, pieces.offsets.tolist()), (0, 0)]
            words += [*pieces.word_ids.tolist(), None]
            sequences += [*[index] * count, None]
    return Encoding(ids, types, [1] * len(ids), offsets, words, sequences, cut, window)


def model_kind(raw: dict[str, Any]) -> str | None:
    """The kind of model in a `tokenizer.json`: Unigram, WordPiece, BPE, …; None if the file does not say."""
    model = raw.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    return None if kind is None else str(kind)


def read_files(folder: Path) -> dict[str, dict[str, Any]]:
    """The JSON files of a tokenizer's folder; empty objects for missing files. Raises as `read_json`."""
    names = ("tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json")
    files = {name: read_json(folder / name) or {} for name in names}
    typed(_Switches, files["tokenizer_config.json"], str(folder / "tokenizer_config.json"))
    return files


@dataclass(frozen=True)
class _Switches:
    """The types of the entries of tokenizer_config.json that are used."""

    do_lower_case: bool | None = None
    keep_accents: bool | None = None
    albert_quotes: bool | None = None
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool | None = None
    split_special_tokens: bool | None = None
    hardening_whole_words: bool | None = None
    case_marks: bool | None = None


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None if there is no file. Raises `AlbertError` (bad-model) for anything else."""
    if not os.path.lexists(path):
        return None
    value = parse(read_vouched(path.parent, path.name), str(path))
    if not isinstance(value, dict):
        raise AlbertError(ErrorKind.MODEL, str(path), expected="a JSON object", got=type(value).__name__)
    return value
