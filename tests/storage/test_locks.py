"""Files beside an output: one process at a time, and nothing that a link leads to is written."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from albert.errors import AlbertError, ErrorKind
from albert.storage.files import write_file
from albert.storage.locks import open_plain, output_lock, run_lock

PRECIOUS = "what nobody may lose"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "precious"
    path.parent.mkdir()
    path.write_text(PRECIOUS)
    return path


def soft(path: Path, target: Path) -> None:
    path.symlink_to(target)


def hard(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def dangling(path: Path, target: Path) -> None:
    path.symlink_to(target.with_name("new"))


def pipe(path: Path, target: Path) -> None:
    os.mkfifo(path)


TRAPS = [soft, hard, dangling, pipe]


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("lock", [run_lock, output_lock])
def test_a_lock_leaves_what_it_leads_to(
    tmp_path: Path, precious: Path, lock: Callable[..., object], trap: Callable[[Path, Path], None]
) -> None:
    folder = tmp_path / "received"
    folder.mkdir()
    trap(folder / ".lock" if lock is run_lock else folder / "out.csv.lock", precious)
    held = run_lock(folder) if lock is run_lock else output_lock(folder / "out.csv")
    if trap is hard:  # as `cp -al` makes them of a folder in use
        with held:
            pass
    else:
        with pytest.raises(AlbertError) as caught, held:
            pass
        assert caught.value.kind is ErrorKind.UNSAFE
    assert precious.read_text() == PRECIOUS
    assert list(precious.parent.iterdir()) == [precious]


@pytest.mark.parametrize("trap", TRAPS)
def test_a_temporary_file_leaves_what_its_name_led_to(
    tmp_path: Path, precious: Path, trap: Callable[[Path, Path], None]
) -> None:
    trap(tmp_path / ".tmp-out.json", precious)
    write_file(tmp_path / "out.json", "new")
    trap(tmp_path / "part", precious)
    with open(open_plain(tmp_path / "part"), "wb") as file:
        file.write(b"rows")
    assert precious.read_text() == PRECIOUS
    assert (tmp_path / "out.json").read_text() == "new"
    assert (tmp_path / "part").read_bytes() == b"rows"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "out.json", "part"]


def test_the_second_is_told_who_the_first_is(tmp_path: Path) -> None:
    for lock in (lambda: output_lock(tmp_path / "out.csv"), lambda: run_lock(tmp_path / "run")):
        with lock():
            with pytest.raises(AlbertError, match=f"process {os.getpid()} on ") as caught, lock():
                pass
            assert caught.value.kind is ErrorKind.LOCKED
        with lock():
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["run"]  # an output's lock goes with the call


def test_a_copy_by_links_does_not_break_a_lock(tmp_path: Path) -> None:
    with run_lock(tmp_path / "run"):
        (tmp_path / "copy").hardlink_to(tmp_path / "run" / ".lock")
        with pytest.raises(AlbertError, match="in use"), run_lock(tmp_path / "run"):
            pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from albert.storage.locks import output_lock\n"
        "with output_lock(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    assert (tmp_path / "out.lock").exists()
    with output_lock(tmp_path / "out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    """Readers, too, see one of the contents and never a part."""
    contents = [bytes([65 + number]) * 300_000 for number in range(4)]
    path = tmp_path / "out"
    write_file(path, contents[0])
    writers = [threading.Thread(target=lambda c=c: [write_file(path, c) for _ in range(8)]) for c in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_locks_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", none)
    with run_lock(tmp_path / "run"), output_lock(tmp_path / "out"):
        write_file(tmp_path / "file", "text")
    assert (tmp_path / "file").read_text() == "text"
