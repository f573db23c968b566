"""`albert prepare`: a corpus to shards, with its progress on stderr and its statistics on stdout."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from albert.cli.options import AsJson, Quiet

if TYPE_CHECKING:
    from albert.corpus.prepare import Prepared, Progress

_SECONDS_BETWEEN_LINES = 5.0


def prepare(
    corpus: Annotated[
        list[Path], typer.Argument(help="Text, JSONL (.gz, .bz2, .xz, .zst too), Parquet files, or folders of them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the shards: new, or to go on with.")],
    vocab: Annotated[str | None, typer.Option(help="Vocabulary folder; else our English one.")] = None,
    language: Annotated[str, typer.Option(help="Language whose rules end sentences.")] = "en",
    column: Annotated[str, typer.Option(help="Column or key of the text in Parquet and JSONL.")] = "text",
    deduplicate: Annotated[bool, typer.Option("--deduplicate", help="Leave out documents that came before.")] = False,
    chunk_mb: Annotated[float, typer.Option(help="MiB of text a shard; longer documents are divided.")] = 8.0,
    workers: Annotated[int | None, typer.Option(help="Processes; else one a core.")] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster to work on, or local.")] = None,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Turn a corpus into shards for pre-training: streaming, an interrupted call goes on when repeated."""
    from albert.corpus.job import PrepareConfig
    from albert.corpus.prepare import prepare as run
    from albert.storage.files import require_folder

    require_folder(out, inputs=corpus)
    cores = {} if workers is None else {"workers": workers}
    config = PrepareConfig(tuple(corpus), out, vocab, language, column, deduplicate, chunk_mb, ray=ray, **cores)
    prepared = run(config, progress=_Lines(quiet=quiet), tell=_tell)
    if not quiet:
        _tell_resumed(prepared)
    statistics = report(prepared)
    if json:
        from json import dumps

        print(dumps(statistics, ensure_ascii=False))
        return
    for name, value in statistics.items():
        print(f"{name:22} {value:,}" if isinstance(value, int) else f"{name:22} {value}")


def report(prepared: Prepared) -> dict[str, Any]:
    """What a person wants to know of a corpus before training on it."""
    from albert.pretraining.sample import sample_instance

    totals = prepared.manifest["totals"]
    return {
        "folder": str(prepared.folder),
        "shards": len(prepared.manifest["shards"]),
        "documents": totals["documents"],
        "sentences": totals["sentences"],
        "tokens": totals["tokens"],
        "text MB": round(totals["read"] / 1e6, 1),
        "unknown rate": round(totals["unknown"] / max(totals["tokens"], 1), 6),
        "tokens of the longest": totals["longest"],
        "tokens a sentence": round(totals["tokens"] / max(totals["sentences"], 1), 2),
        "sentences a document": round(totals["sentences"] / max(totals["documents"], 1), 1),
        "duplicates left out": totals["duplicates"],
        "empty left out": totals["empty"],
        "documents divided": totals["divided"],
        "an instance": sample_instance(prepared.folder, prepared.manifest),
    }


def _tell(message: str) -> None:
    print(message, file=sys.stderr)


def _tell_resumed(prepared: Prepared) -> None:
    count = len(prepared.manifest["shards"])
    if prepared.made == 0:
        print(f"{prepared.folder} was finished before; nothing to do", file=sys.stderr)
    elif prepared.made < count:
        print(f"{prepared.made:,} of {count:,} shards made now, the others were there", file=sys.stderr)


class _Lines:
    """A line now and then: documents, text read, speed."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if self.quiet or time.monotonic() - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = time.monotonic()
        megabytes = progress.read / 1e6
        rate = progress.rate / 1e6
        print(f"{progress.documents:,} documents · {megabytes:,.0f} MB · {rate:.1f} MB/s", file=sys.stderr, flush=True)
