"""Texts as SentencePiece pieces with offsets, exactly the pieces that the published models saw.

sentencepiece normalises and segments (docs/decisions/001 says why not `tokenizers`); Google's digit-comma rule comes
last. Text that spells a special token is plain text here: sentencepiece never matches those.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

from albert.config import UNK_ID
from albert.errors import AlbertError, ErrorKind
from albert.text.added import AddedToken, Matcher
from albert.text.hardening.hardener import SURROGATE, Hardener, Hardening, invalid_unicode
from albert.text.normalize import NormalizedText, Normalizer

SPACE = "▁"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4  # sentencepiece_model.proto
_PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F))
# Characters. sentencepiece starts new threads for a list, which takes longer than this many characters in sequence.
_WORTH_THREADS = 16_384


@dataclass(frozen=True)
class Pieces:
    """One text's pieces: ids, [start, end) offsets in the original text, and the index of each piece's word.

    Pieces with ids only have neither offsets nor words. `capitals` is there where a tokenizer marks them.
    """

    ids: np.ndarray  # [n]
    offsets: np.ndarray = field(default_factory=partial(np.zeros, (0, 2), np.int64))  # [n, 2]
    word_ids: np.ndarray = field(default_factory=partial(np.zeros, 0, np.int64))  # [n]
    capitals: np.ndarray = field(default_factory=partial(np.zeros, 0, np.int64))  # [n], 1 for pieces with capitals

    def __len__(self) -> int:
        return len(self.ids)


class PieceEncoder:
    """Segments texts with a SentencePiece unigram model, given as the bytes of its file. With hardening, texts are
    hardened first.

    Raises `AlbertError` (bad-model) when the bytes are no such model.
    """

    def __init__(
        self,
        model: bytes,
        normalizer: Normalizer,
        hardening: Hardening | None = None,
        added: Sequence[AddedToken] = (),
    ) -> None:
        """`added` tokens are found before the model sees the text."""
        self.normalizer = normalizer
        self._added = bool(added)
        self._as_written = Matcher(token for token in added if not token.normalized)
        self._as_normalized = Matcher((token for token in added if token.normalized), normalizer.text)
        self._harden = None if hardening is None else Hardener(hardening, spell=self.spelling)
        self.proto = proto.ModelProto()
        try:
            self.proto.ParseFromString(model)
            self._sentencepiece = sentencepiece.SentencePieceProcessor(model_proto=model)
        except Exception as error:  # protobuf and sentencepiece each raise types of their own
            raise AlbertError(
                ErrorKind.MODEL, "spiece.model", expected="a SentencePiece model", got=str(error)[:200]
            ) from error
        trainer = self.proto.trainer_spec
        if trainer.model_type != 1 or trainer.byte_fallback or trainer.treat_whitespace_as_suffix:
            raise AlbertError(
                ErrorKind.MODEL, "spiece.model", expected="a unigram model without byte fallback or suffixes"
            )
        self.vocabulary = [piece.piece for piece in self.proto.pieces]
        for token, piece in enumerate(self.vocabulary):
            if not isinstance(piece, str):  # protobuf gives the bytes of what is no text
                raise AlbertError(
                    ErrorKind.MODEL, f"piece {token} of spiece.model", expected="text in UTF-8", got=repr(piece)
                )
        self._ids = {
            piece.piece: token
            for token, piece in enumerate(self.proto.pieces)
            if piece.type in (_NORMAL, _USER_DEFINED)
        }
        spec = self.proto.normalizer_spec
        self._ascii_is_plain = (
            spec.add_dummy_prefix
            and spec.remove_extra_whitespaces
            and spec.escape_whitespaces
            and all(self._sentencepiece.normalize(char) == SPACE + char for char in _PRINTABLE)
        )
        self._digit_comma = {
            token: replacement
            for token, piece in enumerate(self.proto.pieces)
            if piece.type == _NORMAL and (replacement := self._split_digit_comma(piece.piece))
        }

    def __call__(self, texts: Sequence[str]) -> list[Pieces]:
        """The pieces of each text. Raises `AlbertError` (bad-data) for text that is not valid Unicode."""
        if self._added:
            return [self._divided(text) for text in texts]
        return self._encoded([self._normalized(text) for text in texts], texts)

    def _encoded(self, normalized: Sequence[NormalizedText], texts: Sequence[str]) -> list[Pieces]:
        """The pieces of normalised texts. `texts` are their originals."""
        plain = [text.text for text in normalized]
        encode = partial(self._sentencepiece.encode, out_type=str)
        with valid_unicode(texts):
            surfaces = encode(plain) if sum(map(len, plain)) > _WORTH_THREADS else list(map(encode, plain))
        return [self._pieces(parts, text) for parts, text in zip(surfaces, normalized, strict=True)]

    def ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Only the ids of each text's pieces, several times faster, in one thread. Raises as `__call__`."""
        if self._added:
            return [pieces.ids for pieces in self(texts)]
        harden = self._harden
        with valid_unicode(texts):
            hardened = texts if harden is None else [harden.text(text) for text in texts]
            rows = [self._sentencepiece.encode(self.normalizer.text(text), out_type=int) for text in hardened]
        if self._digit_comma:
            rows = [row if self._digit_comma.keys().isdisjoint(row) else self._split_commas(row) for row in rows]
        return [np.asarray(row, np.int64) for row in rows]

    def _divided(self, text: str) -> Pieces:
        """The pieces of a text with added tokens. Each part between them is segmented by itself."""
        found: list[Pieces | None] = []
        between: list[tuple[int, NormalizedText]] = []  # the text for each None, and where it begins
        for start, end, token in self._as_written.divide(text):
            if token is not None:
                found.append(_one_piece(token.id, start, end))
                continue
            inner = self._normalized(text[start:end])
            for first, after, other in self._as_normalized.divide(inner.text):
                if other is not None:
                    begin, finish = inner.span(first, after)
                    found.append(_one_piece(other.id, start + begin, start + finish))
                elif (part := inner.part(first, after)).text:
                    found.append(None)
                    between.append((start, part))
        rows = self._encoded([part for _, part in between], [text])
        moved = iter(_moved(row, start) for row, (start, _) in zip(rows, between, strict=True))
        return _joined([next(moved) if pieces is None else pieces for pieces in found])

    def _normalized(self, text: str) -> NormalizedText:
        if self._harden is None:
            return self.normalizer(text)
        hardened = self._harden(text)
        return self.normalizer(hardened.text).made_from(hardened)

    def scores(self) -> dict[str, tuple[int, float]]:
        """The id and the log-probability of each piece, without those that Google's digit-comma rule divides."""
        pieces = enumerate(self.proto.pieces)
        kinds = (_NORMAL, _USER_DEFINED)
        return {
            piece.piece: (token, piece.score)
            for token, piece in pieces
            if piece.type in kinds and token not in self._digit_comma
        }

    def spelling(self, word: str) -> tuple[int, int]:
        """How many pieces a word has without hardening, and how many of them are unknown."""
        ids = self._sentencepiece.encode(self.normalizer.text(word), out_type=int)
        return len(ids), ids.count(UNK_ID)

    def _pieces(self, surfaces: list[str], inner: NormalizedText) -> Pieces:
        """Ids, offsets and words of pieces that follow one another in the text that sentencepiece normalised."""
        ids = [self._ids.get(surface, UNK_ID) for surface in surfaces]
        widths = [len(surface) for surface in surfaces]
        if not self._digit_comma.keys().isdisjoint(ids):
            ids, widths = self._apply_digit_comma(ids, widths)
        if not ids:
            return Pieces(np.zeros(0, np.int64))
        joined = "".join(surfaces)
        starts, ends = self._sources(inner, len(joined))
        bounds = np.cumsum([0, *widths])
        first = np.frombuffer(joined.encode("utf-32-le"), np.uint32)[bounds[:-1]] == ord(SPACE)
        # A word's span excludes its space. A piece that is only the space has an empty span after it.
        begin = starts[np.minimum(bounds[:-1] + first, len(joined) - 1)]
        alone = first & (np.asarray(widths) == 1)
        end = np.where(alone, begin, ends[bounds[1:] - 1])
        words = np.maximum(np.cumsum(first) - 1, 0)
        return Pieces(np.asarray(ids, np.int64), np.stack([begin, end], 1), words)

    def _sources(self, inner: NormalizedText, length: int) -> tuple[np.ndarray, np.ndarray]:
        """[start, end) in the original of each character of sentencepiece's own normalisation."""
        text = inner.text
        if self._ascii_is_plain and text.isascii() and text.isprintable() and length == len(text) + 1:
            starts = np.arange(-1, len(text))  # only the space in front was added
            starts[0] = 0
            ends = np.arange(0, len(text) + 1)
        else:
            _, begins = self._sentencepiece.normalize(text, with_offsets=True)
            starts, ends = _intervals(np.asarray(begins, np.int64))
        if inner.starts is None or inner.ends is None:
            return starts, ends
        last = len(text) - 1
        # An empty interval stays empty and is where its neighbour begins.
        at = inner.starts[np.minimum(starts, last)]
        return at, np.where(ends > starts, inner.ends[np.clip(ends - 1, 0, last)], at)

    def _split_digit_comma(self, piece: str) -> list[tuple[int, int]] | None:
        """The pieces of "9,": (id, characters) of the piece without its comma, then of the comma."""
        if len(piece) < 2 or piece[-1] != "," or not piece[-2].isdigit():
            return None
        body = piece[:-1].replace(SPACE, "")
        parts = self._sentencepiece.encode(body, out_type=str)
        if not piece.startswith(SPACE) and parts[0].startswith(SPACE):
            parts = parts[1:] if parts[0] == SPACE else [parts[0][1:], *parts[1:]]
        parts.append(",")
        return [(self._sentencepiece.piece_to_id(part), len(part)) for part in parts]

    def _split_commas(self, ids: list[int]) -> list[int]:
        return self._apply_digit_comma(ids, [0] * len(ids))[0]

    def _apply_digit_comma(self, ids: list[int], widths: list[int]) -> tuple[list[int], list[int]]:
        """Source: google-research/albert, tokenization.py, `encode_pieces`."""
        new: list[tuple[int, int]] = []
        for token, width in zip(ids, widths, strict=True):
            new.extend(self._digit_comma.get(token, [(token, width)]))
        return [token for token, _ in new], [width for _, width in new]


def _one_piece(token: int, start: int, end: int) -> Pieces:
    return Pieces(np.asarray([token]), np.asarray([[start, end]]), np.zeros(1, np.int64))


def _moved(pieces: Pieces, by: int) -> Pieces:
    return Pieces(pieces.ids, pieces.offsets + by, pieces.word_ids)


def _joined(parts: Sequence[Pieces]) -> Pieces:
    """The parts of one text as a whole. Each part begins a word."""
    words, before = [], 0
    for part in parts:
        words.append(part.word_ids + before)
        before += int(part.word_ids[-1]) + 1 if len(part) else 0
    if not parts:
        return Pieces(np.zeros(0, np.int64))
    ids, offsets = (np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "offsets"))
    return Pieces(ids, offsets, np.concatenate(words))


@contextlib.contextmanager
def valid_unicode(texts: Sequence[str]) -> Iterator[None]:
    """Turns sentencepiece's errors for a lone surrogate into one clear error (bad-data)."""
    try:
        yield
    except (UnicodeEncodeError, TypeError, RuntimeError):
        bad = next(filter(SURROGATE.search, texts), None)
        if bad is None:
            raise
        raise invalid_unicode(bad) from None


def _intervals(begins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[start, end) of each output character, from sentencepiece's n + 1 starts.

    Several characters may come from one; then they share its start, and all end where the next begins. The space put
    before the text has no source, so its interval is empty.
    """
    starts = begins[:-1]
    ends = begins[1:].copy()
    for index in range(len(ends) - 2, -1, -1):
        if ends[index] == starts[index]:
            ends[index] = ends[index + 1]
    if len(starts) and ends[0] > starts[0] and len(starts) > 1 and starts[1] == starts[0]:
        ends[0] = starts[0]
    return starts, ends


def model_from_tokenizer_json(raw: dict[str, Any]) -> bytes:
    """Rebuilds a SentencePiece model from a `tokenizer.json` with a Unigram model, as transformers writes it.

    Raises `AlbertError` (bad-model) for another kind of tokenizer.
    """
    import base64

    kind = raw["model"].get("type") if isinstance(raw.get("model"), dict) else None
    if kind not in ("Unigram", None):
        raise AlbertError(
            ErrorKind.MODEL,
            "tokenizer.json",
            expected="a Unigram tokenizer, as SentencePiece makes",
            got=f"a {kind} tokenizer",
            hint="corpora are prepared with a vocabulary of `albert tokenizer train` or of an ALBERT",
        )
    try:
        vocabulary = raw["model"]["vocab"]
        charsmap = _find_charsmap(raw.get("normalizer"))
        model = proto.ModelProto()
        for token, (piece, score) in enumerate(vocabulary):
            kind = _UNKNOWN if token == UNK_ID else _CONTROL if piece in _SPECIAL else _NORMAL
            model.pieces.add(piece=piece, score=score, type=kind)
        pad_piece, unk_piece = vocabulary[0][0], vocabulary[UNK_ID][0]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise AlbertError(
            ErrorKind.MODEL, "tokenizer.json", expected="a Unigram tokenizer", got=repr(error)[:200]
        ) from None
    # tokenizer.json does not mark user-defined symbols; their scores are above those of all words.
    for entry in model.pieces:
        if entry.type == _NORMAL and entry.piece in _USER_SYMBOLS and entry.score >= 0:
            entry.type = _USER_DEFINED
    model.trainer_spec.model_type = 1
    model.trainer_spec.vocab_size = len(model.pieces)
    for name, token in (("pad", 0), ("unk", 1), ("bos", -1), ("eos", -1)):
        setattr(model.trainer_spec, f"{name}_id", token)
    model.trainer_spec.pad_piece, model.trainer_spec.unk_piece = pad_piece, unk_piece
    if charsmap:
        model.normalizer_spec.name = "nmt_nfkc"
        model.normalizer_spec.precompiled_charsmap = base64.b64decode(charsmap)
    else:
        model.normalizer_spec.name = "identity"
    return bytes(model.SerializeToString())


_SPECIAL = ("<pad>", "[CLS]", "[SEP]", "[MASK]")  # of the published models; other added tokens may be words
_USER_SYMBOLS = set('()"-.–£€')


def _find_charsmap(normalizer: object) -> str | None:
    if not isinstance(normalizer, dict):
        return None
    if normalizer.get("type") == "Precompiled":
        return str(normalizer["precompiled_charsmap"])
    for inner in normalizer.get("normalizers", []):
        if found := _find_charsmap(inner):
            return found
    return None
