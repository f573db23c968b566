"""`albert tokenizer train`: a vocabulary from a corpus, with what was read told on stderr."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

from albert.corpus.files import corpus_files
from albert.corpus.reading import corpus_lines
from albert.errors import AlbertError, ErrorKind
from albert.storage.files import disk_errors
from albert.storage.locks import run_lock
from albert.storage.replacing import new_files
from albert.text.normalize import Normalizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.vocabulary import accents_lost, train_vocabulary

_LOOKED_AT = 10_000  # lines, to say what the removal of accents changes


def train(corpus: list[Path], out: Path, *, cased: bool, keep_accents: bool, **options: int) -> None:
    """Trains the vocabulary and writes its folder. `options` are those of `train_vocabulary`. Raises `AlbertError`."""
    _require_no_model(out)
    _tell(f"reading {len(corpus_files(corpus, tell=_tell)):,} files")
    if not keep_accents and (lost := accents_lost(islice(corpus_lines(corpus), _LOOKED_AT))):
        _tell(lost)
    normalizer = Normalizer(lower=not cased, keep_accents=keep_accents)
    tokenizer = AlbertTokenizer(
        train_vocabulary(corpus_lines(corpus), normalizer=normalizer, **options), normalizer=normalizer
    )
    with disk_errors(out), run_lock(out), new_files(out) as staged:
        tokenizer.save(staged)
    _tell(f"{tokenizer.vocab_size:,} pieces -> {out}")


def _require_no_model(out: Path) -> None:
    """Raises `AlbertError` (usage) where the files of a model or a corpus belong to another vocabulary."""
    used = [name for name in ("config.json", "job.json") if (out / name).exists()]
    used += sorted(path.name for path in out.glob("[0-9]*-*.npy"))[:1] if out.is_dir() else []
    if used or (out.exists() and not out.is_dir()):
        raise AlbertError(
            ErrorKind.USAGE, str(out), expected="a new folder, or one of a vocabulary alone",
            got=", ".join(used) or "a file", hint="choose another folder with -o",
        )  # fmt: skip


def _tell(message: str) -> None:
    print(message, file=sys.stderr)
