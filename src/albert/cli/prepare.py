"""`albert prepare`: a corpus to shards, with its progress on stderr and its statistics on stdout."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from albert.corpus.job import PrepareConfig
from albert.corpus.prepare import Prepared, Progress, prepare
from albert.pretraining.sample import sample_instance

_SECONDS_BETWEEN_LINES = 5.0


def run(config: PrepareConfig, *, quiet: bool, as_json: bool) -> None:
    """Prepares the corpus and prints what it holds. Raises `AlbertError`."""
    prepared = prepare(config, progress=_Lines(quiet=quiet), tell=_tell)
    if not quiet:
        _tell_resumed(prepared)
    statistics = report(prepared)
    if as_json:
        print(json.dumps(statistics, ensure_ascii=False))
        return
    for name, value in statistics.items():
        print(f"{name:22} {value:,}" if isinstance(value, int) else f"{name:22} {value}")


def report(prepared: Prepared) -> dict[str, Any]:
    """What a person wants to know of a corpus before training on it."""
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
