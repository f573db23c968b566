"""`albert prepare`: a corpus to a folder of shards, in a job that a kill only delays.

The folder holds `job.json` while it is made, a sidecar for each finished shard, and `manifest.json` at the
end, when both go. The same command again goes on, and ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from albert.data.corpus import corpus_files
from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.files import MANIFEST, disk_errors, remove_leftovers, sha256, write_json
from albert.pretraining.chunks import Chunk, Cut, Seen, make_shard, read_chunks, sidecar
from albert.pretraining.shards import FORMAT, ShardInfo, intact, open_shard, shard_dict
from albert.pretraining.workers import parallel
from albert.process import StopRequest, run_lock
from albert.text.tokenizer import AlbertTokenizer

JOB = "job.json"
_VOCABULARY = "spiece.model"
_MAX_PIECES = 1 << 16  # ids are stored as uint16
_COUNTED = ("documents", "sentences", "tokens", "unknown", "read", "duplicates", "empty", "divided")
_AGAIN = "repeat the command to go on: finished shards are kept"


@dataclass(frozen=True)
class PrepareConfig:
    """What `albert prepare` is told. `vocabulary` is a folder (None: ours); a chunk is `chunk_mb` MiB of text."""

    inputs: tuple[Path, ...]
    out: Path
    vocabulary: str | None = None
    language: str = "en"
    column: str = "text"
    deduplicate: bool = False
    chunk_mb: float = 8.0
    workers: int = dataclasses.field(default_factory=lambda: len(os.sched_getaffinity(0)))

    def __post_init__(self) -> None:
        require_ranges(self, ("chunk_mb", 1 / 1024, 1024), ("workers", 1, 1024))
        if not re.fullmatch("[a-z]{2,3}", self.language):
            raise AlbertError(
                ErrorKind.CONFIG, "language", expected="a code of two or three letters, like en", got=self.language
            )

    @property
    def cut(self) -> Cut:
        return Cut(self.column, self.language, int(self.chunk_mb * (1 << 20)))


@dataclass(frozen=True)
class Input:
    """An input file; `name` is its path below the folder that was given, so that a corpus may move."""

    path: Path
    name: str
    size: int


@dataclass(frozen=True)
class Progress:
    """How far a job is: the documents and bytes of text of all finished shards."""

    documents: int
    read: int
    seconds: float


@dataclass(frozen=True)
class Prepared:
    """A finished folder's manifest. `made` counts the shards that this call wrote: 0 when all was there."""

    folder: Path
    manifest: dict[str, Any]
    made: int

    @property
    def totals(self) -> dict[str, int]:
        totals: dict[str, int] = self.manifest["totals"]
        return totals


@dataclass(frozen=True)
class Job:
    """The settings that decide every byte of the folder, and the files they are applied to."""

    folder: Path
    settings: dict[str, Any]
    inputs: list[Input]

    @classmethod
    def of(cls, config: PrepareConfig, tokenizer: AlbertTokenizer) -> Job:
        """Raises `AlbertError`: an input that is not there (bad-data), a vocabulary too large (bad-config)."""
        if tokenizer.vocab_size > _MAX_PIECES:
            raise AlbertError(
                ErrorKind.CONFIG,
                "vocabulary",
                expected=f"at most {_MAX_PIECES:,} pieces, ids are stored in two bytes",
                got=f"{tokenizer.vocab_size:,}",
            )
        settings = {
            "vocabulary": hashlib.sha256(tokenizer.model).hexdigest(),
            **dataclasses.asdict(tokenizer.normalizer),
            **dataclasses.asdict(config.cut),
            "deduplicate": config.deduplicate,
            "sentencex": metadata.version("sentencex"),
        }
        return cls(config.out, settings, list(_inputs(config.inputs)))

    def record(self) -> dict[str, Any]:
        """What `job.json` and the manifest say of the job."""
        inputs = [{"name": entry.name, "size": entry.size} for entry in self.inputs]
        return {"format": FORMAT, "settings": self.settings, "inputs": inputs}

    def claim(self, tokenizer: AlbertTokenizer) -> dict[str, ShardInfo]:
        """Makes the folder this job's own and returns its intact shards, by name.

        Raises `AlbertError` (bad-config) when the folder is of another job or of something else.
        """
        remove_leftovers(self.folder)
        before = _read(self.folder / MANIFEST) or _read(self.folder / JOB)
        self._refuse_another(before)
        if before is None:
            write_json(self.folder / JOB, self.record())
        if not self._vocabulary_is_there():
            tokenizer.save(self.folder)
        entries = (before or {}).get("shards") or [_read(path) for path in self.folder.glob("*-*.json")]
        shards = [ShardInfo.from_dict(entry) for entry in entries if entry]
        return {info.name: info for info in shards if intact(self.folder, info)}

    def finish(self, shards: dict[str, ShardInfo]) -> dict[str, Any]:
        """Writes the manifest, then removes what only an unfinished job needs."""
        ordered = [shard_dict(shards[name]) for name in sorted(shards)]
        totals = {key: sum(entry[key] for entry in ordered) for key in _COUNTED}
        manifest = {**self.record(), "totals": totals, "shards": ordered}
        write_json(self.folder / MANIFEST, manifest)
        self.tidy(shards)
        return manifest

    def tidy(self, shards: dict[str, ShardInfo]) -> None:
        """Removes job file and sidecars, which the manifest replaces."""
        for name in shards:
            sidecar(self.folder, name).unlink(missing_ok=True)
        (self.folder / JOB).unlink(missing_ok=True)

    def finished(self, known: dict[str, ShardInfo]) -> dict[str, Any] | None:
        """The manifest when there is one and every shard of it is intact."""
        manifest = _read(self.folder / MANIFEST)
        return manifest if manifest and len(known) == len(manifest["shards"]) else None

    def _refuse_another(self, before: dict[str, Any] | None) -> None:
        hint = "choose another folder with -o, or remove this one"
        if before is None:
            others = [path.name for path in self.folder.iterdir() if path.name != ".lock"]
            if others:
                raise AlbertError(
                    ErrorKind.CONFIG,
                    f"{self.folder} holds other files",
                    expected="a new or empty folder, or one of `albert prepare`",
                    got=", ".join(sorted(others)[:5]),
                    hint=hint,
                )
            return
        for key, now in self.record().items():
            if before.get(key) != now:
                was, now = _difference(before.get(key), now)
                raise AlbertError(
                    ErrorKind.CONFIG,
                    f"{self.folder} was begun with other {key}",
                    expected=was,
                    got=now,
                    hint=f"repeat the first command, {hint}",
                )

    def _vocabulary_is_there(self) -> bool:
        path = self.folder / _VOCABULARY
        return path.is_file() and sha256(path) == self.settings["vocabulary"]


def prepare(
    config: PrepareConfig, *, ray: str | None = None, progress: Callable[[Progress], None] = lambda _: None
) -> Prepared:
    """Makes the folder, or goes on with it; over the cluster at the address `ray` when that is given.

    Raises `AlbertError`: unreadable input (bad-data, file and line), another job's folder (bad-config),
    a folder in use (locked), a full disk (disk), a signal (pre-empted, interrupted), a dead worker (internal).
    """
    tokenizer = AlbertTokenizer.from_pretrained(config.vocabulary) if config.vocabulary else AlbertTokenizer.english()
    job = Job.of(config, tokenizer)
    with disk_errors(config.out), run_lock(config.out), StopRequest() as stop:
        known = job.claim(tokenizer)
        if manifest := job.finished(known):
            job.tidy(known)
            return Prepared(config.out, manifest, made=0)
        shards: dict[str, ShardInfo] = {}
        start = time.monotonic()
        check = partial(stop.leave_if_asked, f"after {config.out}", hint=_AGAIN)
        for info in _local(config, job, known, check):
            shards[info.name] = info
            done = shards.values()
            progress(Progress(sum(i.documents for i in done), sum(i.read for i in done), time.monotonic() - start))
        made = len(shards.keys() - known.keys())
        return Prepared(config.out, job.finish(shards), made)


def excerpt(folder: Path, manifest: dict[str, Any], *, seed: int = 0, pieces: int = 60) -> str:
    """The beginning of a document drawn by the seed, decoded: what the model will read."""
    rng = random.Random(seed)
    entries = [entry for entry in manifest["shards"] if entry["documents"]]
    if not entries:
        return ""
    shard = open_shard(folder, ShardInfo.from_dict(rng.choice(entries)))
    first = int(shard.sentences[shard.documents[rng.randrange(len(shard.documents) - 1)]])
    return AlbertTokenizer.from_pretrained(folder).decode(shard.tokens[first : first + pieces].tolist())


def _local(
    config: PrepareConfig, job: Job, known: dict[str, ShardInfo], check: Callable[[], None]
) -> Iterator[ShardInfo]:
    """All shards, the known ones as they are, the others made here."""
    found: dict[str, ShardInfo] = {}
    # Every file is read again from its beginning: what is a duplicate depends on all that comes before.
    seen = Seen(config.out / ".tmp-seen.sqlite") if config.deduplicate else nullcontext()
    with seen as documents:
        missing = _missing(job, config.cut, documents, known, found, check)
        work = partial(make_shard, folder=config.out, language=config.language)
        yield from parallel(work, missing, workers=config.workers, check=check)
    yield from found.values()


def _missing(
    job: Job,
    cut: Cut,
    seen: Seen | None,
    known: dict[str, ShardInfo],
    found: dict[str, ShardInfo],
    check: Callable[[], None],
) -> Iterator[Chunk]:
    for number, entry in enumerate(job.inputs):
        for chunk in read_chunks(number, entry.path, entry.name, cut, seen):
            check()
            if chunk.name in known:
                found[chunk.name] = known[chunk.name]
            else:
                yield chunk


def _inputs(paths: tuple[Path, ...]) -> Iterator[Input]:
    for given in paths:
        for path in corpus_files([given]):
            name = path.relative_to(given).as_posix() if given.is_dir() else path.name
            yield Input(path, name, path.stat().st_size)


def _difference(was: Any, now: Any) -> tuple[str, str]:
    """The first setting or file that differs, before and now."""
    if isinstance(was, dict) and isinstance(now, dict):
        key = next(key for key in {**was, **now} if was.get(key) != now.get(key))
        return f"{key} {was.get(key)!r}", f"{now.get(key)!r}"
    if isinstance(was, list) and isinstance(now, list):
        first = [entry for entry in was if entry not in now] or [f"{len(was)} files"]
        other = [entry for entry in now if entry not in was] or [f"{len(now)} files"]
        return str(first[0]), str(other[0])
    return str(was), str(now)


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object of ours, None when there is none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
