"""Where compiled kernels are kept: in the user's cache or elsewhere, never where others may write, whole or not."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest
import torch

from albert.cli.doctor import _kernels
from albert.compute import compiled, library
from albert.compute.library import Library
from albert.storage import private

COMPILER = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo library > "$2"
echo called >> "$(dirname "$0")/calls"
"""
FAILS = """#!/bin/sh
echo called >> "$(dirname "$0")/calls"
echo "kernels.cpp:1: fatal error: immintrin.h: no such file" >&2
exit 1
"""
HANGS = """#!/bin/sh
echo called >> "$(dirname "$0")/calls"
sh -c 'echo $$ > "'$(dirname "$0")'/child"; sleep 300'
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a home, a place for temporary files, and a compiler that is quick."""
    for name in ("home", "temporary files"):
        (tmp_path / name).mkdir()
    install(tmp_path, COMPILER)
    monkeypatch.setenv("CXX", str(tmp_path / "compiler"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "ALBERT_COMPILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary files"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    monkeypatch.setattr("sys.platform", "linux")
    private._say.cache_clear()
    return tmp_path


def install(places: Path, script: str) -> None:
    compiler = places / "compiler"
    compiler.write_text(script)
    compiler.chmod(0o755)


def calls(places: Path) -> int:
    """How often the compiler was called."""
    path = places / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def path_of() -> Path:
    path = library.library().path
    assert path is not None
    return path


def aside(places: Path) -> Path:
    return places / "temporary files" / f"albert-{os.geteuid()}"


def cache(places: Path) -> Path:
    return places / "home" / ".cache" / "albert"


def test_they_are_compiled_once_into_the_user_s_cache(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert library.look() == Library(None)
    assert _kernels() == f"not compiled yet; at first use, into {cache(places)}"
    path = path_of()
    assert path.parent == cache(places)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in path.parent.iterdir()} == {path.name, path.with_suffix(".json").name}
    assert "compiling kernels" in capsys.readouterr().err
    assert path_of() == path
    assert capsys.readouterr().err == ""
    assert calls(places) == 1
    assert _kernels() == str(path)


@pytest.mark.parametrize("home", ["read-only", "a file", "unknown"])
def test_without_a_home_that_can_be_written_they_lie_elsewhere(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: str
) -> None:
    if home == "read-only":  # /proc is that for root, too
        monkeypatch.setenv("HOME", "/proc")
    elif home == "a file":
        (places / "file").touch()
        monkeypatch.setenv("HOME", str(places / "file"))
    else:

        def unknown() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", unknown)
    for _ in range(2):
        path = path_of()
        assert path.parent == aside(places)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert calls(places) == 1
    said = capsys.readouterr().err
    assert said.count("compiling kernels") == 1
    assert said.count(f"using {path.parent}") == (home != "unknown")


def test_a_cache_that_became_read_only_is_read(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image whose kernels were compiled when it was built."""
    path = path_of()
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert path_of() == path
    assert calls(places) == 1


def of_someone_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(path, 54321, 54321, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 54321)


@pytest.mark.parametrize("fault", ["writable by all", "of another user", "another user's link"])
def test_a_cache_of_others_is_not_loaded(places: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    path = path_of()
    if fault == "writable by all":
        path.parent.chmod(0o777)
    elif fault == "of another user":
        of_someone_else(path.parent, monkeypatch)
    else:
        path.parent.rename(places / "elsewhere")
        path.parent.symlink_to(places / "elsewhere")
        assert path_of() == path  # the user's own link is no fault
        of_someone_else(path.parent, monkeypatch)
    found = library.library().path
    assert found is None or found.parent == aside(places)
    if os.geteuid() == 0 or fault == "writable by all":
        assert found is not None
        assert calls(places) == 2


@pytest.mark.parametrize("ending", [".so", ".json"])
@pytest.mark.parametrize("fault", ["writable by all", "of another user"])
def test_a_file_of_others_is_made_anew(places: Path, monkeypatch: pytest.MonkeyPatch, ending: str, fault: str) -> None:
    path = path_of()
    if fault == "writable by all":
        path.with_suffix(ending).chmod(0o666)
    elif os.geteuid() == 0:
        of_someone_else(path.with_suffix(ending), monkeypatch)
    else:
        pytest.skip("only root can give a file away")
    assert library.look().path is None
    assert path_of() == path
    assert calls(places) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes().replace(b"l", b"L")),
        lambda path: path.with_suffix(".json").unlink(),
        lambda path: path.with_suffix(".json").write_text('{"sha'),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: path.with_suffix(".json").write_text('{"sha256": 7}'),
    ],
)
def test_a_damaged_file_is_made_anew(places: Path, capsys: pytest.CaptureFixture[str], damage: object) -> None:
    """A cut one would end the process when it is loaded, without a word."""
    path = path_of()
    whole = path.read_bytes()
    assert callable(damage)
    damage(path)
    assert library.look().path is None
    capsys.readouterr()
    assert path_of() == path
    assert path.read_bytes() == whole
    assert "made anew" in capsys.readouterr().err
    assert calls(places) == 2


def test_another_compiler_or_source_is_another_file(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {path_of()}
    install(places, COMPILER + "# version 2\n")
    found.add(path_of())
    (places / "sources").mkdir()
    (places / "sources" / "kernels.cpp").write_text("// changed\n")
    monkeypatch.setattr(library, "_SOURCES", places / "sources")
    found.add(path_of())
    monkeypatch.setattr(library, "_FLAGS", ("-O2",))
    found.add(path_of())
    monkeypatch.setattr(library, "_processor", lambda: b"flags: fpu")
    found.add(path_of())
    assert len(found) == calls(places) == 5


@pytest.mark.parametrize(
    ("able", "options"),
    [({"avx512_f": True, "avx2": True, "fma3": True}, "-march=native"), ({"avx2": True, "fma3": True}, "-mavx2 -mfma")],
)
def test_it_is_compiled_for_what_the_processor_has(
    places: Path, monkeypatch: pytest.MonkeyPatch, able: dict[str, bool], options: str
) -> None:
    install(places, COMPILER.replace("#!/bin/sh", '#!/bin/sh\necho "$@" > "$(dirname "$0")/options"'))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    path_of()
    assert options in (places / "options").read_text()


@pytest.mark.parametrize("able", [{}, {"avx2": True}, {"fma3": True}])
def test_older_processors_have_none(places: Path, monkeypatch: pytest.MonkeyPatch, able: dict[str, bool]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert library.library() == Library(None, "this machine has no AVX2, or no Linux")
    assert calls(places) == 0


def test_where_nothing_can_be_written_pytorch_does_it(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", "/proc")
    aside(places).mkdir()
    aside(places).chmod(0o777)
    assert library.library().path is None
    said = capsys.readouterr().err
    assert "not compiled, PyTorch's operators do it: no folder" in said
    assert str(aside(places)) in said
    assert calls(places) == 0


def test_a_failure_is_remembered_with_its_reason(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(places, FAILS)
    for _ in range(3):
        assert library.library().path is None
    said = capsys.readouterr().err
    assert calls(places) == said.count("fatal error: immintrin.h") == said.count("not compiled") == 1
    assert "fatal error: immintrin.h" in _kernels()
    [note] = cache(places).iterdir()
    assert note.suffix == ".json"
    monkeypatch.setenv("ALBERT_COMPILE", "1")
    assert library.library().path is None
    assert calls(places) == 2
    monkeypatch.delenv("ALBERT_COMPILE")
    os.utime(note, (time.time() - 100_000,) * 2)
    assert library.library().path is None
    assert calls(places) == 3
    install(places, COMPILER)
    assert path_of().is_file()


def test_a_compiler_that_hangs_costs_its_time_once(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it started ends with it, and nobody waits for that either."""
    monkeypatch.setattr(library, "SECONDS", 0.5)
    install(places, HANGS)
    start = time.monotonic()
    for _ in range(3):
        assert library.library().path is None
    assert time.monotonic() - start < 10
    assert calls(places) == 1
    assert capsys.readouterr().err.count("took more than 0.5 s") == 1
    child = int((places / "child").read_text())
    assert not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes()
    assert [path.suffix for path in cache(places).iterdir()] == [".json"]


def test_one_process_compiles_at_a_time(places: Path) -> None:
    install(places, COMPILER.replace("echo library", "sleep 0.3; echo library"))
    found: list[Library] = []
    starters = [threading.Thread(target=lambda: found.append(library.library())) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(30)
    assert calls(places) == 1
    assert len({each.path for each in found}) == 1
    assert found[0].path is not None


def test_nobody_is_waited_for_without_end(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library, "SECONDS", -4.9)
    private.writable_folder()
    with library.alone(cache(places) / "compile.lock"):
        assert library.library().path is None
    assert "another process has compiled for too long" in capsys.readouterr().err
    assert calls(places) == 0


def test_what_a_killed_process_left_is_removed(places: Path) -> None:
    left = private.writable_folder() / ".tmp-killed"
    left.mkdir()
    (left / "kernels.so").write_text("half a libr")
    (left.parent / "compile.lock").write_text("")
    path = path_of()
    assert {file.name for file in path.parent.iterdir()} == {path.name, path.with_suffix(".json").name}


def test_a_full_disk_is_no_failure_to_remember(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert library.library().path is None
    assert library.look() == Library(None)
    assert path_of().is_file()


def test_a_file_that_cannot_be_loaded_is_told(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled._functions.cache_clear()
    try:
        assert compiled._functions() == {}
    finally:
        compiled._functions.cache_clear()
    assert "cannot be loaded, PyTorch's operators do it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "said"), [("ALBERT_COMPILE", "0", "ALBERT_COMPILE=0"), ("CXX", "no-such-c++", "no-such-c++")]
)
def test_the_doctor_tells_why_there_are_none(
    places: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    assert _kernels().startswith("none: ")
    assert said in _kernels()
    assert library.library().path is None
    assert not cache(places).exists()


def test_a_note_holds_the_sum_of_the_file(places: Path) -> None:
    path = path_of()
    note = json.loads(path.with_suffix(".json").read_text())
    assert note == {"sha256": library.sha256(path)}
    assert path.stat().st_mode & 0o777 == path.with_suffix(".json").stat().st_mode & 0o777 == 0o600
