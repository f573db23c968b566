"""Where compiled kernels are kept: in the user's cache, or elsewhere, and never where others may write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from albert.engine import compiled

COMPILER = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo library > "$2"
echo called >> "$(dirname "$0")/calls"
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a home, a place for temporary files, and a compiler that is quick."""
    for name in ("home", "temporary files"):
        (tmp_path / name).mkdir()
    compiler = tmp_path / "compiler"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "ALBERT_COMPILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary files"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path


def calls(places: Path) -> int:
    """How often the compiler was called."""
    path = places / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def aside(places: Path) -> Path:
    return places / "temporary files" / f"albert-{os.geteuid()}"


def test_they_are_compiled_once_into_the_user_s_cache(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = compiled._library()
    assert path is not None
    assert path.parent == places / "home" / ".cache" / "albert"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert "compiling kernels" in capsys.readouterr().err
    assert compiled._library() == path
    assert capsys.readouterr().err == ""
    assert calls(places) == 1


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
        path = compiled._library()
        assert path is not None
        assert path.parent == aside(places)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert calls(places) == 1
    said = capsys.readouterr().err
    assert said.count("compiling kernels") == 1
    assert said.count(f"using {path.parent}") == (home != "unknown")


def test_a_cache_that_became_read_only_is_read(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an image whose kernels were compiled when it was built."""
    path = compiled._library()
    assert path is not None
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert compiled._library() == path
    assert calls(places) == 1


def of_someone_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        os.chown(folder, 54321, 54321, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 54321)


@pytest.mark.parametrize("fault", ["writable by all", "of another user", "another user's link"])
def test_a_cache_of_others_is_not_loaded(places: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    path = compiled._library()
    assert path is not None
    if fault == "writable by all":
        path.parent.chmod(0o777)
    elif fault == "of another user":
        of_someone_else(path.parent, monkeypatch)
    else:
        path.parent.rename(places / "elsewhere")
        path.parent.symlink_to(places / "elsewhere")
        assert compiled._library() == path  # the user's own link is no fault
        of_someone_else(path.parent, monkeypatch)
    found = compiled._library()
    assert found is None or found.parent == aside(places)
    if os.geteuid() == 0 or fault == "writable by all":
        assert found is not None
        assert calls(places) == 2


def test_where_nothing_can_be_written_pytorch_does_it(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", "/proc")
    aside(places).mkdir()
    aside(places).chmod(0o777)
    assert compiled._library() is None
    said = capsys.readouterr().err
    assert "not compiled, PyTorch's operators do it: no folder" in said
    assert str(aside(places)) in said
    assert calls(places) == 0


def test_a_compiler_that_fails_leaves_nothing(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (places / "compiler").write_text("#!/bin/sh\nexit 1\n")
    assert compiled._library() is None
    assert capsys.readouterr().err.endswith("not compiled, PyTorch's operators do it: CalledProcessError\n")
    assert list((places / "home" / ".cache" / "albert").iterdir()) == []


def test_a_file_that_cannot_be_loaded_is_told(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled._functions.cache_clear()
    try:
        assert compiled._functions() == {}
    finally:
        compiled._functions.cache_clear()
    assert "cannot be loaded, PyTorch's operators do it" in capsys.readouterr().err
