"""Standard output and error that are full, closed or without a reader, at every verb that prints."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from albert.cli import main
from albert.cli.streams import prepare_streams
from albert.text.tokenizer import AlbertTokenizer
from conftest import write_reviews
from served import write_model

VERBS = {
    "check DATA": 0,
    "evaluate MODEL DATA --json": 0,
    "export MODEL --dev DATA --force": 0,
    "predict MODEL DATA": 0,
    "predict MODEL DATA -o /dev/stdout": 0,
    "prepare TEXT -o OUT --workers 1": 0,
    "serve-key someone": 0,
    "doctor --json": 0,
    "--help": 0,
    "predict --help": 0,
    "--version": 0,
}
SILENT = ["convert MODEL OUT", "predict MODEL DATA -o OUT.csv", "tokenizer train TEXT -o OUT --vocab-size 40"]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("streams")
    data = write_reviews(folder / "reviews.csv", rows=30)
    data.write_text(data.read_text().replace("positive", "good").replace("negative", "bad"))
    (folder / "text.txt").write_text("A fine day. The quick brown fox jumps over the lazy dog at ten.\n" * 20)
    model = write_model(folder / "model", "classification", tokenizer)
    return {"DATA": str(data), "TEXT": str(folder / "text.txt"), "MODEL": str(model)}


@contextlib.contextmanager
def replaced(number: int, other: int) -> Iterator[None]:
    """Another descriptor in the place of one, and Python's stream with it."""
    name = {1: "stdout", 2: "stderr"}[number]
    kept, stream = os.dup(number), getattr(sys, name)
    os.dup2(other, number)
    new = os.fdopen(number, "w", closefd=False)
    setattr(sys, name, new)
    try:
        yield
    finally:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        new.flush()  # what it could not write
        os.dup2(kept, number)
        os.close(kept)
        setattr(sys, name, stream)


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def unread() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


Run = Callable[..., int]


@pytest.fixture
def run(words: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A line in this process, with a stream replaced; the exit code."""

    def call(line: str, number: int, other: int) -> int:
        places = {**words, "OUT": str(tmp_path / "out"), "OUT.csv": str(tmp_path / "out.csv")}
        monkeypatch.setattr(sys, "argv", ["albert", *(places.get(word, word) for word in line.split())])
        with replaced(number, other), pytest.raises(SystemExit) as left:
            main()
        os.close(other)
        return int(str(left.value.code or 0))

    return call


@pytest.mark.parametrize("line", VERBS)
def test_full_standard_output(run: Run, capfd: pytest.CaptureFixture[str], line: str) -> None:
    code = run(line, 1, full())
    said = capfd.readouterr().err
    assert code == (VERBS[line] or 74), said
    assert "Traceback" not in said
    assert said.count("error[") == 1
    if code == 74:
        assert "standard output" in said or "/dev/" in said
        assert "No space left on device" in said


@pytest.mark.parametrize("line", VERBS)
def test_a_reader_that_has_left(run: Run, capfd: pytest.CaptureFixture[str], line: str) -> None:
    code = run(line, 1, unread())
    said = capfd.readouterr().err
    assert code == VERBS[line], said
    assert "Traceback" not in said
    assert "roken" not in said
    assert said.count("error[") == (code > 0)


@pytest.mark.parametrize("line", [*VERBS, *SILENT])
def test_standard_error_stops_no_work(run: Run, capfd: pytest.CaptureFixture[str], line: str) -> None:
    assert run(line, 2, unread() if line in SILENT else full()) == VERBS.get(line, 0)
    out, err = capfd.readouterr()
    assert err == ""
    assert bool(out) == (line not in SILENT and not VERBS.get(line))


def test_errors_keep_their_codes_on_a_full_standard_error(run: Run, tmp_path: Path) -> None:
    assert run("check nowhere.csv", 2, full()) == 65
    assert run("predict nowhere DATA", 2, full()) == 66
    assert run("predict", 2, full()) == 2


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (">&-", 74, "Bad file descriptor"),
        (">&- <&-", 74, "Bad file descriptor"),
        ("2>&-", 0, ""),
        ("<&- 2>&-", 0, ""),
        (">/dev/full", 74, "No space left"),
        ("| true", 0, ""),
        ("| head -c 1", 0, ""),
    ],
)
def test_streams_of_the_shell(line: str, code: int, said: str) -> None:
    command = f"set -o pipefail; {shlex.quote(sys.executable)} -m albert serve-key someone {line}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert said in done.stderr


def test_a_closed_standard_output_is_no_other_file(words: dict[str, str]) -> None:
    """The next file that is opened has its number, and must not get the rows."""
    before = {path.name: path.read_bytes() for path in Path(words["MODEL"]).iterdir()}
    command = f"{shlex.quote(sys.executable)} -m albert predict {shlex.quote(words['MODEL'])} >&- <&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (65, 74)
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in Path(words["MODEL"]).iterdir()} == before


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_an_encoding_lacks_are_printed(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding))
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    prepare_streams()
    value = {"file": os.fsdecode(b"caf\xe9 \xf0\x9f\x98\x80.csv")}
    print(json.dumps(value, ensure_ascii=False), flush=True)
    assert json.loads(raw.getvalue().decode(encoding)) == value
