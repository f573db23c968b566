"""Bytes to lines: compressed files to their last byte, and lines that are measured while they are read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.corpus.reading import corpus_lines
from albert.data.sources import Problems, lines_of, raw_lines, text_lines
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: bytes(pa.compress(data, codec="zstd", asbytes=True)),
}
DATA = b"text,label\na,b\n"


def refused(path: Path, said: str = "") -> str:
    with pytest.raises(AlbertError) as caught:
        list(raw_lines(str(path)))
    assert caught.value.kind is ErrorKind.DATA
    assert str(path) in caught.value.what
    assert said in str(caught.value)
    return str(caught.value)


# --- what stands behind compressed data ------------------------------------------------------------------


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize(
    "behind", [b"junk", b"c,d\n", b"\0\0\0\0junk", b"\x1f", b"BZ", b"\xfd7zXZ", b"(", b"\xff" * 70_000]
)
def test_junk_behind_compressed_data_is_told(tmp_path: Path, ending: str, behind: bytes) -> None:
    path = tmp_path / f"in.csv{ending}"
    path.write_bytes(COMPRESS[ending](DATA) + behind)
    refused(path)
    with pytest.raises(AlbertError):
        list(Table(path))
    with pytest.raises(AlbertError):
        list(corpus_lines([path.rename(tmp_path / f"in.txt{ending}")]))


@pytest.mark.parametrize("ending", COMPRESS)
def test_streams_one_behind_the_other_are_all_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"in.csv{ending}"
    pack = COMPRESS[ending]
    path.write_bytes(pack(DATA) + pack(b"c,") + pack(b"") + pack(b"d\n"))
    assert b"".join(raw_lines(str(path))) == DATA + b"c,d\n"
    if ending != ".zst":
        path.write_bytes(pack(DATA) + bytes(8) + (b"" if ending == ".gz" else pack(b"c,d\n") + bytes(100_000)))
        assert b"".join(raw_lines(str(path))).startswith(DATA)


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_damaged_later_stream_is_no_end(tmp_path: Path, ending: str) -> None:
    """Files of pbzip2 and `xz -T0` have many."""
    path = tmp_path / f"in.csv{ending}"
    first, second = COMPRESS[ending](DATA), COMPRESS[ending](b"c,d\n" * 1000)
    for place in (0, len(second) // 2):
        damaged = second[:place] + bytes([second[place] ^ 0x55]) + second[place + 1 :]
        path.write_bytes(first + damaged)
        refused(path)
    for length in range(1, len(second), 7):
        path.write_bytes(first + second[:length])
        refused(path)


@pytest.mark.parametrize("ending", [".bz2", ".xz"])
@given(parts=st.lists(st.binary(max_size=300), max_size=5))
def test_any_streams_give_what_was_put_in(
    tmp_path_factory: pytest.TempPathFactory, ending: str, parts: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("streams") / f"in{ending}"
    path.write_bytes(b"".join(map(COMPRESS[ending], [b"x", *parts])))
    assert b"".join(raw_lines(str(path))) == b"".join([b"x", *parts])


def test_a_compressed_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    for ending, pack in COMPRESS.items():
        path = tmp_path / f"in.csv{ending}"
        os.mkfifo(path)
        writer = threading.Thread(target=path.write_bytes, args=(pack(DATA) + b"junk",))
        writer.start()
        refused(path)
        writer.join(10)


def test_an_xz_that_asks_for_too_much_memory_is_refused(tmp_path: Path) -> None:
    """A file of a hundred bytes may ask for 1.5 GiB."""
    content = lzma.compress(DATA, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 26}])
    (tmp_path / "in.csv.xz").write_bytes(content)
    assert b"".join(raw_lines(str(tmp_path / "in.csv.xz"))) == DATA
    # The size of the dictionary stands in the block's header, behind which its sum is made anew.
    size = (content[12] + 1) * 4
    header = bytearray(content[12 : 12 + size - 4])
    at = header.index(b"\x21\x01") + 2
    header[at] = 39  # 3 GiB
    changed = content[:12] + bytes(header) + struct.pack("<I", zlib.crc32(bytes(header))) + content[12 + size :]
    (tmp_path / "in.csv.xz").write_bytes(changed)
    refused(tmp_path / "in.csv.xz", "Memory usage limit")


# --- lines -----------------------------------------------------------------------------------------------


def written(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "in").write_bytes(data)
    return str(tmp_path / "in")


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\n\nbb\n", [b"a\n", b"\n", b"bb\n"]),
        (b"a\r\nb\r\n", [b"a\r\n", b"b\r\n"]),
        (b"a\rb\r\rc", [b"a", b"b", b"", b"c"]),
        (b"a\rb\r", [b"a", b"b"]),
        (b"12345678\nb", [b"12345678\n", b"b"]),
        (b"123456789\nb", [b"123456789", b"b"]),
        (b"1234567890123456789\nb\n", [b"123456789", b"b\n"]),
        (b"a\n" + b"1" * 18, [b"a\n", b"1" * 9]),
        (b"1\r" + b"2" * 30 + b"\r3", [b"1", b"2" * 9, b"3"]),
    ],
)
def test_lines_end_where_they_end(tmp_path: Path, data: bytes, lines: list[bytes]) -> None:
    found = list(lines_of(written(tmp_path, data), 8))
    assert [line[:9] for line in found] == lines
    assert all(len(line) <= 18 for line in found)


@given(st.lists(st.binary(max_size=30), max_size=12), st.integers(1, 20), st.sampled_from([b"\n", b"\r"]))
def test_lines_are_the_file_s(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], most: int, end: bytes
) -> None:
    clean = [line.replace(b"\n", b"").replace(b"\r", b"") for line in lines]
    path = written(tmp_path_factory.mktemp("lines"), b"".join(line + end for line in clean))
    found = [line.rstrip(b"\n") for line in lines_of(path, most + 1)]
    if end == b"\n" or (clean and len(clean[0]) <= most):
        assert [line[: most + 1] for line in found] == [line[: most + 1] for line in clean]


MEBIBYTES = 64


def bomb(path: Path, part: bytes) -> Path:
    """A small file of 64 MiB."""
    path.write_bytes(gzip.compress(part * ((1 << 20) // len(part)), mtime=0) * MEBIBYTES)
    assert path.stat().st_size < 1 << 20
    return path


@pytest.fixture
def peak() -> Callable[[], float]:
    tracemalloc.start()

    def found() -> float:
        most = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        return most

    return found


@pytest.mark.parametrize("part", [b"a", b" ", b"\0", b"a\0" * 4])
@pytest.mark.parametrize("name", ["in.csv.gz", "in.jsonl.gz", "in.tsv.gz"])
def test_a_line_without_end_is_not_kept(tmp_path: Path, peak: Callable[[], float], name: str, part: bytes) -> None:
    with pytest.raises(AlbertError, match=r"line too long: expected at most 1,048,576 bytes|NUL"):
        list(Table(bomb(tmp_path / name, part)))
    assert peak() < 24


@pytest.mark.parametrize("part", [b'{"text": "', b"[", b" ", b"1"])
def test_a_document_without_end_is_not_kept(
    tmp_path: Path, peak: Callable[[], float], monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    monkeypatch.setattr("albert.data.documents.MAX_DOCUMENT_BYTES", 4 << 20)
    with pytest.raises(AlbertError, match="a JSON document of at most 4,194,304 bytes"):
        Table(bomb(tmp_path / "in.json.gz", part))
    assert peak() < 24


@pytest.mark.parametrize("name", ["in.txt.gz", "in.jsonl.gz", "in.json.gz", "wiki_00.gz"])
def test_a_paragraph_without_end_is_not_kept(
    tmp_path: Path, peak: Callable[[], float], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("albert.corpus.reading.MAX_LINE_BYTES", 1 << 20)
    monkeypatch.setattr("albert.data.documents.MAX_DOCUMENT_BYTES", 4 << 20)
    with pytest.raises(AlbertError, match=r"a longer one|a JSON document of at most"):
        list(corpus_lines([bomb(tmp_path / name, b"a")]))
    assert peak() < 24


def test_standard_input_is_measured_too(monkeypatch: pytest.MonkeyPatch, peak: Callable[[], float]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a" * (8 << 20) + b"\nb\n")))
    problems = Problems("-")
    assert [line for _, line in text_lines("-", encoding="utf-8", problems=problems)] == ["b"]
    assert problems.lines == ["-:1: line too long: expected at most 1,048,576 bytes, got more"]
    peak()


def test_a_folder_as_standard_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Folder(io.RawIOBase):
        def readline(self, size: int | None = -1, /) -> bytes:
            raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Folder()})())
    with pytest.raises(AlbertError, match="Is a directory") as caught:
        list(raw_lines("-"))
    assert caught.value.kind is ErrorKind.DATA


def test_a_folder_of_documents_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As RACE has them: high and middle."""
    for name in ("high", "middle"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text(
            '{"article": "A.", "questions": ["Q?"], "options": [["a", "b"]], "answers": ["A"], "id": "1"}'
        )
    assert len(list(Table(tmp_path))) == 2
    scan = os.scandir

    def refuse(path: str) -> object:
        if os.path.basename(path) == "middle":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(AlbertError, match=r"middle.*Permission denied") as caught:
        Table(tmp_path)
    assert caught.value.kind is ErrorKind.DATA
