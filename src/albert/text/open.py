"""Opens the tokenizer of a folder, of either kind."""

from __future__ import annotations

import os
from pathlib import Path

from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.hub import model_folder
from albert.text.encodings import Tokenizer, model_kind, read_json
from albert.text.tokenizer import AlbertTokenizer
from albert.text.wordpiece import VOCABULARY, WordPieceTokenizer


def open_tokenizer(name: str | Path, *, config: AlbertConfig | None = None) -> Tokenizer:
    """Opens the tokenizer of a folder or hub id: SentencePiece (ALBERT) or WordPiece (BERT), according to its files.

    `config` is that of the model beside it, if it has been read already. Raises `AlbertError` (bad-model) if neither is
    there, or if the tokenizer has more pieces than the model.
    """
    folder = model_folder(name)
    raw = None if os.path.lexists(folder / "spiece.model") else read_json(folder / "tokenizer.json")
    kind = None if raw is None else model_kind(raw) or "Unigram"
    tokenizer: Tokenizer
    if kind == "WordPiece" or (kind is None and _words_alone(folder)):
        tokenizer = WordPieceTokenizer.from_pretrained(folder)
    elif kind in ("Unigram", None):
        tokenizer = AlbertTokenizer.from_pretrained(folder)
    else:
        raise AlbertError(
            ErrorKind.MODEL, str(folder / "tokenizer.json"), got=str(kind),
            expected="a Unigram (ALBERT) or WordPiece (BERT) tokenizer",
        )  # fmt: skip
    if config is None and (folder / "config.json").exists():
        config = AlbertConfig.load(folder)
    if config is not None:
        _require_room(folder, tokenizer, config.vocab_size)
    return tokenizer


def _words_alone(folder: Path) -> bool:
    return os.path.lexists(folder / VOCABULARY) and not os.path.lexists(folder / "spiece.model")


def _require_room(folder: Path, tokenizer: Tokenizer, room: int) -> None:
    if tokenizer.vocab_size > room:
        raise AlbertError(
            ErrorKind.MODEL,
            f"{folder}: its tokenizer has {tokenizer.vocab_size:,} pieces",
            expected=f"at most the {room:,} of its config.json",
            hint="tokenizer and weights are of different models",
        )
