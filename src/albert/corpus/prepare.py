"""`albert prepare`: from a corpus to a folder of shards, with processes or a cluster. After a kill it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from albert.corpus.chunks import Chunk, Seen, make_shard, read_chunks
from albert.corpus.job import Job, PrepareConfig
from albert.corpus.shards import ShardInfo
from albert.corpus.workers import parallel
from albert.errors import AlbertError, ErrorKind
from albert.machine.process import StopRequest
from albert.storage.files import disk_errors
from albert.storage.locks import run_lock
from albert.text.tokenizer import AlbertTokenizer


@dataclass(frozen=True)
class Progress:
    """The documents and bytes of text of all finished shards, and the speed of this call in bytes per second."""

    documents: int
    read: int
    rate: float


@dataclass(frozen=True)
class Prepared:
    """A finished folder's manifest. `made` counts the shards that this call wrote; 0 if all were there."""

    folder: Path
    manifest: dict[str, Any]
    made: int


def prepare(
    config: PrepareConfig,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Makes the folder, or goes on with it. `tell` gets a sentence about what is left out of the corpus.

    Raises `AlbertError`: unreadable or missing input (bad-data, file and line), another job's folder (bad-config), a
    folder in use (locked), a full disk (disk), a signal (pre-empted, interrupted), a dead worker (internal).
    """
    tokenizer = AlbertTokenizer.from_pretrained(config.vocabulary) if config.vocabulary else AlbertTokenizer.english()
    job = Job.of(config, tokenizer, tell)
    # Ray takes the signals when it starts, so they are taken from it afterwards.
    with disk_errors(config.out), run_lock(config.out), _session(config.ray), StopRequest() as stop:
        shards = job.claim()
        if manifest := job.finished(shards):
            return Prepared(config.out, manifest, made=0)

        def check() -> None:
            stop.leave_if_asked(f"with {len(shards):,} shards finished", hint="repeat the command to go on")

        known, start = frozenset(shards), time.monotonic()
        documents, before = (sum(getattr(info, count) for info in shards.values()) for count in ("documents", "read"))
        read = before
        for info in _on_ray(job, known, check) if config.ray else _locally(job, known, check, config.workers):
            shards[info.name] = info
            documents, read = documents + info.documents, read + info.read
            progress(Progress(documents, read, (read - before) / (time.monotonic() - start)))
        if not documents:
            job.forget()
            names = ", ".join(map(str, config.inputs))
            raise AlbertError(ErrorKind.DATA, names, expected="documents", got="files without text")
        return Prepared(config.out, job.finish(shards), made=len(shards) - len(known))


def _locally(job: Job, known: frozenset[str], check: Callable[[], None], workers: int) -> Iterator[ShardInfo]:
    """Makes the missing shards."""
    # Every file is read again from its beginning, because duplicates depend on all earlier documents.
    with Seen(job.folder) if job.deduplicate else nullcontext() as seen:
        missing = _missing(job, known, check, seen)
        work = partial(make_shard, folder=job.folder, language=job.cut.language)
        yield from parallel(work, missing, workers=workers, check=check)


def _missing(job: Job, known: frozenset[str], check: Callable[[], None], seen: Seen | None) -> Iterator[Chunk]:
    for number, entry in enumerate(job.inputs):
        for chunk in read_chunks(number, entry.path, entry.name, job.cut, seen):
            check()
            if chunk.name not in known:
                yield chunk


def _session(address: str | None) -> AbstractContextManager[None]:
    if address is None:
        return nullcontext()
    from albert.corpus.ray_prepare import ray_session

    return ray_session(address)


def _on_ray(job: Job, known: frozenset[str], check: Callable[[], None]) -> Iterator[ShardInfo]:
    from albert.corpus.ray_prepare import on_ray

    return on_ray(job, known, check)
