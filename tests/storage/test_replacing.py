"""Files of a model folder that are replaced at once: a kill leaves the old model or the new one, never a mixture."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import kill_at
from albert.errors import AlbertError, ErrorKind
from albert.hub import model_folder
from albert.storage.files import MANIFEST, verify_manifest
from albert.storage.replacing import NEXT, current_files, new_files, settle, unchanged

OLD = {"config.json": "old", "model.safetensors": "old", "vocab.txt": "old", "int8.safetensors": "old"}
NEW = {"config.json": "new", "model.safetensors": "new", "spiece.model": "new", "1_Pooling/config.json": "new",
       "README.md": "new"}  # fmt: skip
BESIDE = {"metrics.jsonl": "a log", "checkpoints/step-1": "a checkpoint", ".lock": ""}  # of a run, no files of a model


def fill(folder: Path, files: dict[str, str]) -> Path:
    with new_files(folder) as staged:
        for name, text in files.items():
            (staged / name).parent.mkdir(exist_ok=True)
            (staged / name).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_text() for name, path in found.items() if name not in (MANIFEST, *BESIDE)}


def run_of(folder: Path) -> Path:
    """A folder with the old model and what else a run leaves there."""
    fill(folder, OLD)
    for name, text in BESIDE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def in_a_fork(work: Callable[[], None]) -> int:
    """The exit code of a copy of this process that does the work, negative for a signal."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_new_files_take_the_place_of_all_old_ones(tmp_path: Path) -> None:
    folder = run_of(tmp_path)
    assert contents(folder) == OLD
    fill(folder, NEW)
    assert contents(folder) == NEW
    assert verify_manifest(folder) is None
    assert all((folder / name).read_text() == text for name, text in BESIDE.items())
    assert not [path for path in folder.iterdir() if path.name.startswith((".tmp", NEXT))]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_every_write_boundary_the_old_or_the_new_model_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)  # counted all the same; a kill of a process loses no writes
    kept = {"old": 0, "new": 0}
    for limit in range(1, 200):
        folder = run_of(tmp_path / str(limit))
        code = in_a_fork(lambda limit=limit, folder=folder: kill_at.replacing(limit, folder, NEW))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        current = current_files(folder)
        found = {name: text for name, text in contents(current).items() if not name.startswith((".tmp", NEXT))}
        assert found in (OLD, NEW), (limit, found)
        assert verify_manifest(current) is None, limit
        kept[found["config.json"]] += 1
        settle(folder)
        assert contents(folder) == found
        assert verify_manifest(folder) is None
        assert all((folder / name).read_text() == text for name, text in BESIDE.items())
    assert min(kept.values()) > 5, kept


@pytest.mark.parametrize("fault", ["an error", "a full disk"])
def test_after_an_error_all_is_as_it_was(tmp_path: Path, fault: str) -> None:
    folder = run_of(tmp_path)
    error = OSError(28, "No space left on device") if fault == "a full disk" else RuntimeError()

    def write() -> None:
        with new_files(folder) as staged:
            (staged / "config.json").write_text("half")
            raise error

    with pytest.raises(AlbertError if fault == "a full disk" else RuntimeError):
        write()
    assert contents(folder) == OLD


def test_where_files_cannot_have_two_names_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    assert contents(fill(run_of(tmp_path), NEW)) == NEW


def test_a_folder_that_is_half_replaced_is_read_from_the_new_files_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = run_of(tmp_path / "m")
    assert model_folder(folder) == folder
    assert not caplog.records
    fill(tmp_path / "new", NEW).rename(folder / NEXT)
    assert model_folder(folder) == folder / NEXT
    assert "killed" in caplog.text


def test_a_link_by_that_name_is_not_followed(tmp_path: Path) -> None:
    folder = run_of(tmp_path / "m")
    (folder / NEXT).symlink_to(fill(tmp_path / "other", NEW))
    assert model_folder(folder) == folder


def test_a_folder_that_is_replaced_while_it_is_read_is_refused(tmp_path: Path) -> None:
    folder = run_of(tmp_path)
    with unchanged(folder):
        pass

    def read(name: str) -> None:
        with unchanged(folder):
            fill(folder, NEW)
            (folder / name).read_bytes()

    for name in ("config.json", "int8.safetensors"):  # the last is gone then
        with pytest.raises(AlbertError, match="while they were read") as caught:
            read(name)
        assert caught.value.kind is ErrorKind.MODEL


def test_the_files_may_be_read_by_whom_the_others_may(tmp_path: Path) -> None:
    folder = run_of(tmp_path)
    modes = {stat.S_IMODE((folder / name).stat().st_mode) for name in ("config.json", MANIFEST, "metrics.jsonl")}
    assert len(modes) == 1
