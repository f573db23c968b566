"""Trains a vocabulary: SentencePiece unigram with the settings of the published models.

Source: google-research/albert, README, "SentencePiece".
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterable, Iterator

import sentencepiece

from albert.errors import AlbertError, ErrorKind
from albert.text.hardening.hardener import without_floods
from albert.text.normalize import Normalizer

MAX_LINE_BYTES = 4000  # SentencePiece skips lines of more than 4,192 bytes, so longer ones are divided at a space
# "," separates this list, so it cannot be a user-defined symbol; hence the digit-comma rule.
USER_DEFINED_SYMBOLS = ["(", ")", '"', "-", ".", "–", "£", "€"]


def train_vocabulary(
    lines: Iterable[str],
    *,
    vocab_size: int = 30_000,
    normalizer: Normalizer | None = None,
    max_lines: int = 10_000_000,
    character_coverage: float = 0.99995,
    seed: int = 0,
    threads: int = 2,
) -> bytes:
    """Trains a SentencePiece unigram model on `lines` and returns the bytes of its `spiece.model`.

    Uses at most `max_lines` lines, sampled at random. Ids 0 to 4 are <pad> <unk> [CLS] [SEP] [MASK]. Raises
    `AlbertError` when there is no text, or too little for the vocabulary's size.
    """
    sentencepiece.set_random_generator_seed(seed)
    normalize = (normalizer or Normalizer()).text
    counted = _Counted(piece for line in lines for piece in break_at_spaces(normalize(line), MAX_LINE_BYTES // 4))
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=counted,
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            control_symbols=["[CLS]", "[SEP]", "[MASK]"],
            user_defined_symbols=USER_DEFINED_SYMBOLS,
            character_coverage=character_coverage,
            input_sentence_size=max_lines,
            shuffle_input_sentence=True,
            num_threads=threads,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise AlbertError(
            ErrorKind.DATA,
            "training a vocabulary",
            expected=f"text rich enough for {vocab_size:,} pieces",
            got=f"{counted.count:,} lines" + (f" ({_reason(error)})" if counted.count else ""),
            hint="give more text or a smaller --vocab-size",
        ) from error
    return model.getvalue()


def accents_lost(lines: Iterable[str]) -> str | None:
    """A sentence about what removing accents changes in these lines; None if it changes less than one line in a
    hundred.
    """
    count = lost = 0
    example = ""
    for line in lines:
        count += 1
        if not line.isascii() and (word := _changed_word(line)):
            lost += 1
            example = example or word
    if lost * 100 < count or not lost:
        return None
    without = Normalizer(lower=False).text(example)
    return (
        f"accents and marks are removed, as in the published models: {example!r} is read as {without!r}, and "
        f"{lost:,} of the first {count:,} lines change; --keep-accents keeps them"
    )


def _changed_word(line: str) -> str | None:
    """The first word that loses a mark. Other foldings (ﬁ to fi) are also SentencePiece's own, so they do not count."""
    keep = Normalizer(lower=False)
    composed = (unicodedata.normalize("NFKC", word) for word in without_floods(line).split() if not word.isascii())
    return next((word for word in composed if unicodedata.normalize("NFC", keep.text(word)) != word), None)


def _reason(error: Exception) -> str:
    """SentencePiece's message without the place in its source code."""
    return str(error).splitlines()[-1].rpartition("] ")[2].rstrip(". ")


class _Counted:
    """An iterator that counts its items, for the error message."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.count += 1
        return line


def break_at_spaces(text: str, limit: int) -> Iterator[str]:
    """The text in parts of at most `limit` characters, divided at spaces if possible."""
    start = 0
    while len(text) - start > limit:
        cut = text.rfind(" ", start, start + limit)
        cut = cut if cut > start else start + limit
        yield text[start:cut]
        start = cut
        while text.startswith(" ", start):
            start += 1
    if start < len(text):
        yield text[start:]
