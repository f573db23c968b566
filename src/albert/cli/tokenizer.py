"""`albert tokenizer train`: a vocabulary from a corpus, with what was read told on stderr."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from albert.errors import AlbertError, ErrorKind

app = typer.Typer(help="Vocabularies.", no_args_is_help=True)
_LOOKED_AT = 10_000  # lines, to say what the removal of accents changes


@app.command()
def train(
    corpus: Annotated[list[Path], typer.Argument(help="Files or folders, as `albert prepare` reads them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for spiece.model and tokenizer.json.")],
    vocab_size: Annotated[int, typer.Option(min=8, max=1_000_000, help="Number of pieces.")] = 30_000,
    max_lines: Annotated[int, typer.Option(min=1, help="Lines to sample at most.")] = 10_000_000,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the sample.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads; another number gives other roundings.")] = 2,
    cased: Annotated[bool, typer.Option("--cased", help="Tell upper from lower case.")] = False,
    keep_accents: Annotated[
        bool, typer.Option("--keep-accents", help="Keep accents and voicing marks: å, é, パ. Most languages need it.")
    ] = False,
) -> None:
    """Train a SentencePiece vocabulary with the settings of the published models."""
    from albert.corpus.files import corpus_files
    from albert.corpus.reading import corpus_lines
    from albert.storage.files import disk_errors, require_folder
    from albert.storage.locks import run_lock
    from albert.storage.replacing import new_files
    from albert.text.normalize import Normalizer
    from albert.text.tokenizer import AlbertTokenizer
    from albert.text.vocabulary import accents_lost, train_vocabulary

    require_folder(out, inputs=corpus)
    _require_no_model(out)
    _tell(f"reading {len(corpus_files(corpus, tell=_tell)):,} files")
    if not keep_accents and (lost := accents_lost(islice(corpus_lines(corpus), _LOOKED_AT))):
        _tell(lost)
    normalizer = Normalizer(lower=not cased, keep_accents=keep_accents)
    tokenizer = AlbertTokenizer(
        train_vocabulary(
            corpus_lines(corpus), normalizer=normalizer, vocab_size=vocab_size, max_lines=max_lines, seed=seed,
            threads=threads,
        ),
        normalizer=normalizer,
    )  # fmt: skip
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
