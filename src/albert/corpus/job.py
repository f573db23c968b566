"""The folder of a corpus while it is prepared: its job, and its finished shards.

During the job it holds `job.json` and a sidecar for each finished shard. At the end `manifest.json` replaces them. The
same job can be run again: it goes on and ends with the same bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import Any

from albert.corpus.chunks import Cut, sidecar
from albert.corpus.files import corpus_files
from albert.corpus.shards import FORMAT, ShardInfo, intact, read_manifest, shard_dict
from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.storage.files import MANIFEST, remove_leftovers, sha256, write_json
from albert.storage.stored import read_object, typed
from albert.text.tokenizer import AlbertTokenizer

JOB = "job.json"
_MAX_PIECES = 1 << 16  # ids are stored as uint16
_SHARD = "[0-9]*-*"  # a dot file of a killed writer does not count
_COUNTED = ("documents", "sentences", "tokens", "unknown", "read", "duplicates", "empty", "divided")


@dataclass(frozen=True)
class PrepareConfig:
    """The settings of `albert prepare`.

    `vocabulary` is a folder (None: ours). A chunk is `chunk_mb` MiB of text. `ray` is the address of a cluster to work
    on; "local" starts one here (None: `workers` processes).
    """

    inputs: tuple[Path, ...]
    out: Path
    vocabulary: str | None = None
    language: str = "en"
    column: str = "text"
    deduplicate: bool = False
    chunk_mb: float = 8.0
    workers: int = dataclasses.field(default_factory=lambda: _cores())
    ray: str | None = None

    def __post_init__(self) -> None:
        require_ranges(self, ("chunk_mb", 1 / 1024, 1024), ("workers", 1, 1024))
        if not re.fullmatch("[a-z]{2,3}", self.language):
            raise AlbertError(
                ErrorKind.CONFIG, "language", expected="a code of two or three letters, like en", got=self.language
            )
        if self.deduplicate and self.ray is not None:
            raise AlbertError(
                ErrorKind.CONFIG,
                "--deduplicate with --ray",
                expected="one of them: only a job that reads in order knows which occurrence is the first",
                hint="leave --ray out, or remove duplicates beforehand",
            )

    @property
    def cut(self) -> Cut:
        return Cut(self.column, self.language, int(self.chunk_mb * (1 << 20)))


@dataclass(frozen=True)
class Input:
    """An input file. `name` is its path below the given folder, so that a corpus may move.

    `sha256` is that of its content, because an edit may keep size and time. `state` detects an edit during the job.
    """

    path: Path
    name: str
    size: int
    sha256: str
    state: tuple[int, int, int]

    @classmethod
    def of(cls, path: Path, name: str) -> Input:
        """Reads the whole file once. Raises `AlbertError` (bad-data) if it cannot."""
        state = _state(path)
        try:
            return cls(path, name, state[0], sha256(path), state)
        except OSError as error:
            got = error.strerror or str(error)
            raise AlbertError(ErrorKind.DATA, str(path), expected="a readable file", got=got) from None

    def require_same(self) -> None:
        """Raises `AlbertError` (bad-data) if the file has changed since it was read."""
        if not self.path.exists() or _state(self.path) != self.state:
            raise AlbertError(
                ErrorKind.DATA, str(self.path), expected="a file that stays as it is", got="another one meanwhile",
                hint="repeat the command: shards of files before it are kept",
            )  # fmt: skip


@dataclass(frozen=True)
class Job:
    """The settings that decide every byte of the folder, and the input files."""

    folder: Path
    cut: Cut
    deduplicate: bool
    tokenizer: AlbertTokenizer
    inputs: list[Input]

    @classmethod
    def of(cls, config: PrepareConfig, tokenizer: AlbertTokenizer, tell: Callable[[str], None]) -> Job:
        """The job of `config`. `tell` gets what is left out of its folders.

        Raises `AlbertError`: bad-data for an input that does not exist, bad-config for a vocabulary that is too large.
        """
        if tokenizer.vocab_size > _MAX_PIECES:
            raise AlbertError(
                ErrorKind.CONFIG,
                "vocabulary",
                expected=f"at most {_MAX_PIECES:,} pieces, ids are stored in two bytes",
                got=f"{tokenizer.vocab_size:,}",
            )
        return cls(config.out, config.cut, config.deduplicate, tokenizer, list(_inputs(config.inputs, tell)))

    def record(self) -> dict[str, Any]:
        """The entries of `job.json` and the manifest about the job."""
        settings = {
            "vocabulary": hashlib.sha256(self.tokenizer.model).hexdigest(),
            **({"added": [token.content for token in self.tokenizer.added]} if self.tokenizer.added else {}),
            **dataclasses.asdict(self.tokenizer.normalizer),
            **dataclasses.asdict(self.cut),
            "deduplicate": self.deduplicate,
            "sentencex": metadata.version("sentencex"),
        }
        inputs = [{"name": entry.name, "size": entry.size, "sha256": entry.sha256} for entry in self.inputs]
        return {"format": FORMAT, "settings": settings, "inputs": inputs}

    def claim(self) -> dict[str, ShardInfo]:
        """Takes the folder for this job and returns its intact shards by name.

        Raises `AlbertError` (bad-config) if the folder has another job's shards or anything else.
        """
        manifest = self._manifest()
        before = manifest or _read(self.folder / JOB)
        if before is None or not _is_job(before):
            self._refuse_other_files()
            shards = []
        elif manifest:
            self._refuse_another(before)
            shards = [ShardInfo.from_dict(entry, MANIFEST) for entry in manifest["shards"]]
        else:
            shards = self._begun(before)
        if not manifest:
            write_json(self.folder / JOB, self.record())
        if not (shards and self._vocabulary_is_there()):
            self.tokenizer.save(self.folder)
        remove_leftovers(self.folder)
        return {info.name: info for info in shards if intact(self.folder, info)}

    def finished(self, known: dict[str, ShardInfo]) -> dict[str, Any] | None:
        """The manifest, if it exists and every shard of it is intact."""
        manifest = self._manifest()
        if manifest is None or known.keys() != {entry["name"] for entry in manifest["shards"]}:
            return None
        self._tidy(known)
        return manifest

    def finish(self, shards: dict[str, ShardInfo]) -> dict[str, Any]:
        """Writes the manifest, then removes the files that only an unfinished job needs.

        Raises `AlbertError` (bad-data) if an input has changed meanwhile. The next call makes its shards again.
        """
        for entry in self.inputs:
            entry.require_same()
        ordered = [shard_dict(shards[name]) for name in sorted(shards)]
        totals = {key: sum(entry[key] for entry in ordered) for key in _COUNTED}
        totals["longest"] = max((entry["longest"] for entry in ordered), default=0)
        manifest = {**self.record(), "totals": totals, "shards": ordered}
        write_json(self.folder / MANIFEST, manifest)
        self._tidy(shards)
        return manifest

    def forget(self) -> None:
        """Removes all shards, so that the folder can take another corpus."""
        for path in [*self._sidecars(), *self.folder.glob(f"{_SHARD}.npy")]:
            path.unlink()

    def _manifest(self) -> dict[str, Any] | None:
        """The manifest of a finished job; None without one."""
        raw = _read(self.folder / MANIFEST)
        return None if raw is None or "settings" not in raw else read_manifest(self.folder)

    def _tidy(self, shards: dict[str, ShardInfo]) -> None:
        """Removes the job file and sidecars, which the manifest replaces, and arrays that belong to no shard."""
        (self.folder / JOB).unlink(missing_ok=True)
        for path in [*self._sidecars(), *self.folder.glob(f"{_SHARD}.npy")]:
            if path.suffix == ".json" or path.name.split(".")[0] not in shards:
                path.unlink()

    def _begun(self, before: dict[str, Any]) -> list[ShardInfo]:
        """The shards of an unfinished job, without those of a changed input file and of all files after it.

        So a bad line can be mended without losing the files before it.
        """
        shards = [info for path in self._sidecars() if (info := _sidecar(path)) is not None]
        pairs = zip(before["inputs"], self.record()["inputs"], strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        kept = [info for info in shards if int(info.name.split("-")[0]) < same]
        if shards:
            self._refuse_another({**before, "inputs": self.record()["inputs"]} if kept else before)
        for info in shards:
            if info not in kept:
                sidecar(self.folder, info.name).unlink()
        return kept

    def _sidecars(self) -> Iterator[Path]:
        return self.folder.glob(f"{_SHARD}.json")

    def _refuse_other_files(self) -> None:
        others = [path.name for path in self.folder.iterdir() if not path.name.startswith((".lock", ".tmp-"))]
        if others:
            raise AlbertError(
                ErrorKind.CONFIG,
                f"{self.folder} holds other files",
                expected="a new or empty folder, or one of `albert prepare`",
                got=", ".join(sorted(others)[:5]),
                hint="choose another folder with -o",
            )

    def _refuse_another(self, before: dict[str, Any]) -> None:
        for key, now in self.record().items():
            if before.get(key) != now:
                was, now = _difference(before.get(key), now)
                raise AlbertError(
                    ErrorKind.CONFIG,
                    f"{self.folder} was begun with other {key}",
                    expected=was,
                    got=now,
                    hint="repeat the first command, choose another folder with -o, or remove this one",
                )

    def _vocabulary_is_there(self) -> bool:
        try:
            found = AlbertTokenizer.from_pretrained(self.folder)
        except AlbertError:
            return False
        ours = self.tokenizer
        return (found.model, found.normalizer, found.added) == (ours.model, ours.normalizer, ours.added)


def _cores() -> int:
    """The cores that this process may use, if the system reports them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _inputs(paths: tuple[Path, ...], tell: Callable[[str], None]) -> Iterator[Input]:
    for given in paths:
        for path in corpus_files([given], tell=tell):
            name = path.relative_to(given).as_posix() if given.is_dir() else path.name
            yield Input.of(path, name)


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
    """A JSON object of ours; None if there is none that can be read."""
    try:
        return read_object(path, kind=ErrorKind.DATA)
    except AlbertError:
        return None


@dataclass(frozen=True)
class _Record:
    format: int
    settings: dict[str, Any]
    inputs: list[dict[str, Any]]


def _is_job(raw: dict[str, Any]) -> bool:
    try:
        typed(_Record, raw, JOB)
    except AlbertError:
        return False
    return True


def _sidecar(path: Path) -> ShardInfo | None:
    """The shard of a sidecar; None if it cannot be read, so that the shard is made again."""
    raw = _read(path)
    with contextlib.suppress(AlbertError):
        info = None if raw is None else ShardInfo.from_dict(raw, str(path))
        return info if info and info.name == path.stem and info.name.split("-")[0].isdecimal() else None
    return None


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
