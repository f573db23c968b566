"""From texts and pairs to `Encoding`s: special tokens, truncation, windows; to and from a model folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from albert.config import CLS_ID, PAD_ID, SEP_ID, UNK_ID
from albert.errors import AlbertError, ErrorKind
from albert.files import write_file, write_json
from albert.hub import model_folder
from albert.text.hardening import Hardening, hardening_of
from albert.text.normalize import Normalizer
from albert.text.pieces import SPACE, PieceEncoder, Pieces, model_from_tokenizer_json

Truncation = Literal["longest_first", "only_first", "only_second", "error"]
TextOrPair = str | tuple[str, str]


@dataclass(frozen=True)
class Encoding:
    """One model input. All lists have the same length, special tokens included, padding not.

    `offsets` are [start, end) into the original text that `sequence_ids` names (0 first, 1 second, None for
    special tokens, whose offsets are (0, 0)); `word_ids` count the words of that text. `cut` is the number
    of pieces that truncation left out; `window` numbers the overlapping windows of one text. Encoded without
    `offsets` the lists `offsets`, `word_ids` and `sequence_ids` are empty.
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


class AlbertTokenizer:
    """ALBERT's tokenizer: a SentencePiece model behind Google's preprocessing.

    Exact to google-research/albert, digit-comma rule included; text that spells a special token stays text. With
    `hardening` hostile text is made readable first; all offsets are into the original text all the same.
    """

    def __init__(
        self,
        model: bytes,
        *,
        normalizer: Normalizer | None = None,
        max_length: int = 512,
        hardening: Hardening | None = None,
    ) -> None:
        self.model = model
        self.normalizer = normalizer or Normalizer()
        self.max_length = max_length
        self.hardening = hardening
        self._encoder = PieceEncoder(model, self.normalizer, hardening)
        self.vocabulary: list[str] = self._encoder.vocabulary
        self._ids = {piece: token for token, piece in enumerate(self.vocabulary)}
        expected = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
        if self.vocabulary[:5] != expected:
            raise AlbertError(
                ErrorKind.MODEL,
                "the vocabulary's first five pieces",
                expected=" ".join(expected),
                got=" ".join(self.vocabulary[:5]),
                hint="train the vocabulary with `albert tokenizer train`",
            )

    # --- loading and saving ----------------------------------------------------------------------------

    @classmethod
    def english(cls) -> Self:
        """Our own English vocabulary, which the package ships."""
        return cls((resources.files("albert") / "assets" / "starter" / "spiece.model").read_bytes())

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Reads a folder or hub id: `spiece.model`, else the Unigram of `tokenizer.json`.

        Raises `AlbertError` (bad-model) when neither is there or usable.
        """
        folder = model_folder(name)
        settings = _read_json(folder / "tokenizer_config.json") or {}
        normalizer = Normalizer(
            lower=bool(settings.get("do_lower_case", True)),
            keep_accents=bool(settings.get("keep_accents", False)),
            quotes=bool(settings.get("albert_quotes", False)),
        )
        length = settings.get("model_max_length", 512)
        length = length if isinstance(length, int) and 0 < length <= 65_536 else 512
        if (folder / "spiece.model").is_file():
            model = (folder / "spiece.model").read_bytes()
        elif (raw := _read_json(folder / "tokenizer.json")) is not None:
            model = model_from_tokenizer_json(raw)
        else:
            raise AlbertError(ErrorKind.MODEL, str(folder), expected="a spiece.model or tokenizer.json in it")
        hardening = hardening_of(settings, str(folder / "tokenizer_config.json"))
        return cls(model, normalizer=normalizer, max_length=length, hardening=hardening)

    def with_hardening(self, hardening: Hardening | None) -> Self:
        """The same tokenizer, its texts hardened so, or not."""
        if hardening == self.hardening:
            return self
        return type(self)(self.model, normalizer=self.normalizer, max_length=self.max_length, hardening=hardening)

    def save(self, folder: Path) -> None:
        """Writes `spiece.model`, `tokenizer.json` (for transformers) and `tokenizer_config.json`."""
        from albert.text.export import tokenizer_json

        write_file(folder / "spiece.model", self.model)
        write_file(folder / "tokenizer.json", tokenizer_json(self._encoder.proto, self.normalizer))
        specials = {
            "bos_token": "[CLS]",
            "eos_token": "[SEP]",
            "unk_token": "<unk>",
            "sep_token": "[SEP]",
            "pad_token": "<pad>",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
        }
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "AlbertTokenizer",
                "do_lower_case": self.normalizer.lower,
                "keep_accents": self.normalizer.keep_accents,
                "remove_space": True,
                "albert_quotes": self.normalizer.quotes,
                "model_max_length": self.max_length,
                **({} if self.hardening is None else self.hardening.to_dict()),
                # transformers leaves token_type_ids out unless told (transformers#48128)
                "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
                **specials,
            },
        )

    # --- encoding --------------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    def tokenize(self, text: str) -> list[str]:
        """The text's pieces as strings, without special tokens."""
        return [self.vocabulary[token] for token in self.pieces([text])[0].ids]

    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """The pieces of each text, without special tokens, uncut."""
        return self._encoder(texts)

    def spelling(self, word: str) -> tuple[int, int]:
        """How many pieces a word has, not hardened, and how many of them are unknown."""
        return self._encoder.spelling(word)

    def ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of `pieces` without their offsets, which are most of the cost: for whole corpora."""
        return self._encoder.ids(texts)

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

        Raises `AlbertError` for a cut that is not possible.
        """
        limit = self.max_length if max_length is None else max_length
        return [_cut(first, second, limit, truncation, offsets) for first, second in self._parts(items, offsets)]

    def windows(
        self,
        items: Sequence[TextOrPair],
        *,
        max_length: int | None = None,
        stride: int = 128,
        offsets: bool = True,
    ) -> list[list[Encoding]]:
        """Encodes each long text or pair as windows; neighbours share `stride` pieces and nothing is left out.

        Of a pair, the first text (a question) stands in every window, cut only if it would fill more than half of
        it, and the second is divided. Raises `AlbertError` when a window has no room to move on.
        """
        limit = self.max_length if max_length is None else max_length
        return [_windows(first, second, limit, stride, offsets) for first, second in self._parts(items, offsets)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the pieces, special tokens left out."""
        pieces = [self.vocabulary[token] for token in ids if token not in (PAD_ID, CLS_ID, SEP_ID)]
        return "".join(pieces).replace(SPACE, " ").strip()

    def id_of(self, piece: str) -> int:
        """The id of a piece, that of <unk> when it is none."""
        return self._ids.get(piece, UNK_ID)

    def _parts(self, items: Sequence[TextOrPair], offsets: bool) -> Iterator[tuple[Pieces, Pieces | None]]:
        flat: list[str] = []
        for item in items:
            flat.extend((item,) if isinstance(item, str) else item)
        pieces = iter(self._encoder(flat) if offsets else map(Pieces, self._encoder.ids(flat)))
        for item in items:
            yield next(pieces), None if isinstance(item, str) else next(pieces)


def _cut(first: Pieces, second: Pieces | None, limit: int, truncation: Truncation, offsets: bool) -> Encoding:
    lengths = (len(first), 0 if second is None else len(second))
    room = limit - (2 if second is None else 3)
    keep = _kept_lengths(lengths, room, truncation)
    cut = sum(lengths) - sum(keep)
    kept = _slice(first, 0, keep[0]), None if second is None else _slice(second, 0, keep[1])
    return _join(*kept, placed=offsets, cut=cut)


def _windows(first: Pieces, second: Pieces | None, limit: int, stride: int, offsets: bool) -> list[Encoding]:
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
        encodings.append(_join(*pair, placed=offsets, cut=cut, window=len(encodings)))
        if start + room >= len(moving):
            return encodings
        start += room - stride


def _kept_lengths(lengths: tuple[int, int], room: int, truncation: Truncation) -> tuple[int, int]:
    """How many pieces of each text stay; "longest_first" takes from the longer one, piece by piece."""
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
    return Pieces(pieces.ids[start:end], pieces.offsets[start:end], pieces.word_ids[start:end])


def _join(first: Pieces, second: Pieces | None, *, placed: bool, cut: int = 0, window: int = 0) -> Encoding:
    """[CLS] first [SEP], then second [SEP] with token type 1; `placed` asks for offsets and words, too."""
    ids: list[int] = [CLS_ID]
    types: list[int] = [0]
    offsets: list[tuple[int, int]] = [(0, 0)] * placed
    words: list[int | None] = [None] * placed
    sequences: list[int | None] = [None] * placed
    for index, pieces in enumerate((first, second)):
        if pieces is None:
            continue
        count = len(pieces)
        ids += [*pieces.ids.tolist(), SEP_ID]
        types += [index] * (count + 1)
        if placed:
            offsets += [*map(tuple, pieces.offsets.tolist()), (0, 0)]
            words += [*pieces.word_ids.tolist(), None]
            sequences += [*[index] * count, None]
    return Encoding(ids, types, [1] * len(ids), offsets, words, sequences, cut, window)


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise AlbertError(ErrorKind.MODEL, str(path), expected="JSON", got=str(error)[:200]) from None
    if not isinstance(value, dict):
        raise AlbertError(ErrorKind.MODEL, str(path), expected="a JSON object", got=type(value).__name__)
    return value
