"""The folder of a corpus while it is prepared: which job it belongs to, which shards are finished.

It holds `job.json` while it is made, a sidecar for each finished shard, and `manifest.json` at the end, when
the others go. The same job again goes on, and ends with the same bytes.
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
_SHARD = "[0-9]*-*"  # a dot file of a killed writer is none
_COUNTED = ("documents", "sentences", "tokens", "unknown", "read", "duplicates", "empty", "divided")


@dataclass(frozen=True)
class PrepareConfig:
    """What `albert prepare` is told.

    `vocabulary` is a folder (None: ours); a chunk is `chunk_mb` MiB of text; `ray` is the address of a cluster
    to work on, "local" starts one here (None: `workers` processes).
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
    """An input file; `name` is its path below the folder that was given, so that a corpus may move.

    `sha256` is that of its content: an edit may leave size and time as they were. `state` tells an edit meanwhile.
    """

    path: Path
    name: str
    size: int
    sha256: str
    state: tuple[int, int, int]

    @classmethod
    def of(cls, path: Path, name: str) -> Input:
        """Reads the whole file once. Raises `AlbertError` (bad-data) where it cannot."""
        state = _state(path)
        try:
            return cls(path, name, state[0], sha256(path), state)
        except OSError as error:
            got = error.strerror or str(error)
            raise AlbertError(ErrorKind.DATA, str(path), expected="a readable file", got=got) from None

    def require_same(self) -> None:
        """Raises `AlbertError` (bad-data) where the file has changed since it was looked at."""
        if not self.path.exists() or _state(self.path) != self.state:
            raise AlbertError(
                ErrorKind.DATA, str(self.path), expected="a file that stays as it is", got="another one meanwhile",
                hint="repeat the command: shards of files before it are kept",
            )  # fmt: skip


@dataclass(frozen=True)
class Job:
    """The settings that decide every byte of the folder, and the files they are applied to."""

    folder: Path
    cut: Cut
    deduplicate: bool
    tokenizer: AlbertTokenizer
    inputs: list[Input]

    @classmethod
    def of(cls, config: PrepareConfig, tokenizer: AlbertTokenizer, tell: Callable[[str], None]) -> Job:
        """The job of `config`; `tell` gets what is left out of its folders.

        Raises `AlbertError`: an input that is not there (bad-data), a vocabulary too large (bad-config).
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
        """What `job.json` and the manifest say of the job."""
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
        """Makes the folder this job's own and returns its intact shards, by name.

        Raises `AlbertError` (bad-config) when the folder holds another job's shards or something else.
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
        """The manifest when there is one and every shard of it is intact."""
        manifest = self._manifest()
        if manifest is None or known.keys() != {entry["name"] for entry in manifest["shards"]}:
            return None
        self._tidy(known)
        return manifest

    def finish(self, shards: dict[str, ShardInfo]) -> dict[str, Any]:
        """Writes the manifest, then removes what only an unfinished job needs.

        Raises `AlbertError` (bad-data) where an input has changed meanwhile; its shards are then made anew.
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
        """Removes all shards, so that the folder takes another corpus."""
        for path in [*self._sidecars(), *self.folder.glob(f"{_SHARD}.npy")]:
            path.unlink()

    def _manifest(self) -> dict[str, Any] | None:
        """That of a finished job, None where there is none."""
        raw = _read(self.folder / MANIFEST)
        return None if raw is None or "settings" not in raw else read_manifest(self.folder)

    def _tidy(self, shards: dict[str, ShardInfo]) -> None:
        """Removes job file and sidecars, which the manifest replaces, and arrays that no shard counts its own."""
        (self.folder / JOB).unlink(missing_ok=True)
        for path in [*self._sidecars(), *self.folder.glob(f"{_SHARD}.npy")]:
            if path.suffix == ".json" or path.name.split(".")[0] not in shards:
                path.unlink()

    def _begun(self, before: dict[str, Any]) -> list[ShardInfo]:
        """The shards of an unfinished job, but for those of a changed input file and all files after it.

        So a bad line can be mended without losing the files before.
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
    """Those this process may use, where the system tells them apart."""
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
    """A JSON object of ours, None when there is none that can be read."""
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
    """The shard that a sidecar tells of; None where it cannot be read, so that the shard is made again."""
    raw = _read(path)
    with contextlib.suppress(AlbertError):
        info = None if raw is None else ShardInfo.from_dict(raw, str(path))
        return info if info and info.name == path.stem and info.name.split("-")[0].isdecimal() else None
    return None


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
