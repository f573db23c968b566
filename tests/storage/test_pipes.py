"""Pipes, devices and links as inputs and outputs."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from albert.data.sources import raw_lines
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.storage.files import write_output
from albert.storage.pipes import open_writer, target_of
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert, write_reviews
from served import write_model


@contextmanager
def piped(path: Path, data: bytes) -> Iterator[Path]:
    """A named pipe into which a program writes."""
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,))
    writer.start()
    yield path
    writer.join(10)
    assert not writer.is_alive()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p", b"text,label\na,b\n"),
        ("p.csv", b"text,label\na,b\n"),
        ("p.jsonl", b'{"text": "a", "label": "b"}\n'),
        ("p.json", b'[{"text": "a", "label": "b"}]'),
        ("p.csv.gz", gzip.compress(b"text,label\na,b\n", mtime=0)),
        ("P.TSV.ZST", pa.compress(b"text\tlabel\na\tb\n", codec="zstd", asbytes=True)),
    ],
)
def test_a_pipe_is_read_as_a_file_of_its_name(tmp_path: Path, name: str, data: bytes) -> None:
    with piped(tmp_path / name, data) as path:
        assert [row.values for row in Table(path)] == [{"text": "a", "label": "b"}]


def test_an_open_file_is_an_input(tmp_path: Path) -> None:
    """As the shell's <(…) and /dev/stdin."""
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\n")
    os.close(writing)
    assert list(raw_lines(f"/dev/fd/{reading}")) == [b"one\n", b"two\n"]
    os.close(reading)
    assert list(raw_lines("/dev/null")) == []


def test_nobody_is_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("albert.storage.pipes.WAIT", 0.05)
    others = threading.active_count()
    os.mkfifo(tmp_path / "p")
    with pytest.raises(AlbertError, match="writes to it") as caught:
        list(raw_lines(str(tmp_path / "p")))
    assert caught.value.kind is ErrorKind.DATA
    with pytest.raises(AlbertError, match="reads it") as caught:
        open_writer(tmp_path / "p")
    assert caught.value.kind is ErrorKind.DISK
    with pytest.raises(AlbertError, match="a pipe"):
        Table(tmp_path / "p", format="parquet")
    assert threading.active_count() <= others


def test_a_parquet_file_cannot_be_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.parquet")
    with pytest.raises(AlbertError, match="a pipe"):
        Table(tmp_path / "p.parquet")


def test_what_an_output_means(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("there")
    os.mkfifo(tmp_path / "pipe")
    assert target_of(tmp_path / "new") == tmp_path / "new"
    assert target_of(tmp_path / "link") == tmp_path / "there"
    for stream in ("/dev/null", "/dev/stdout", "/proc/self/fd/1", tmp_path / "pipe"):
        assert target_of(stream) is None
    for folder in (tmp_path, "/", f"{tmp_path}/new/"):
        with pytest.raises(AlbertError, match="a folder"):
            target_of(folder)


def test_a_written_output_leaves_links_and_devices(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("there")
    write_output(tmp_path / "link", b"data")
    write_output(Path("/dev/null"), b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_bytes() == b"data"
    assert Path("/dev/null").is_char_device()


def test_outputs_of_the_command_line(albert: Albert, tmp_path: Path, tokenizer: AlbertTokenizer) -> None:
    """Looked at before anything is computed, and left what they are."""
    model = write_model(tmp_path / "model", "classification", tokenizer)
    reviews = write_reviews(tmp_path / "reviews.csv", rows=40)
    reviews.write_text(reviews.read_text().replace("positive", "good").replace("negative", "bad"))
    (tmp_path / "folder").mkdir()
    for arguments in (
        ("predict", model, reviews, "-o", tmp_path / "folder"),
        ("evaluate", model, reviews, "-o", tmp_path / "folder"),
        ("evaluate", model, reviews, "--report", tmp_path / "folder"),
    ):
        done = albert(*arguments)
        assert (done.returncode, done.stdout) == (74, "")
        assert "got a folder" in done.stderr
    for arguments in (
        ("predict", model, reviews, "-o", "/dev/null"),
        ("evaluate", model, reviews, "-o", "/dev/null"),
    ):
        done = albert(*arguments)
        assert done.returncode == 0, done.stderr
        assert Path("/dev/null").is_char_device()
    assert "40 rows" in albert("predict", model, reviews, "-o", "/dev/stdout").stderr
    done = albert("predict", model, reviews, "-o", tmp_path / "out.parquet")
    assert done.returncode == 2
    assert ".parquet" in done.stderr
    done = albert("predict", model, "-", "-o", tmp_path / "out", input='{"text": "a"}\n')
    assert "JSON lines" in done.stderr
    assert json.loads((tmp_path / "out").read_text())["text"] == "a"
    assert not (tmp_path / "out.parquet").exists()
