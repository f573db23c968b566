from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.data.sources import MAX_LINE_BYTES, Problems
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind

CELL = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\x85\u2028\u2029"), max_size=20)


def rows_of(path: Path, **options: str) -> list[dict[str, object]]:
    return [row.values for row in Table(path, **options)]


def refuse(path: Path, **options: str) -> AlbertError:
    with pytest.raises(AlbertError) as caught:
        rows_of(path, **options)
    return caught.value


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8))
def test_quoted_csv_gives_back_every_cell(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.mktemp("t") / "a.csv"
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "label"), *rows])
    path.write_bytes(text.getvalue().encode())
    assert [tuple(row.values()) for row in rows_of(path)] == rows


@given(st.lists(st.dictionaries(st.sampled_from(["text", "label", "n"]), st.one_of(CELL, st.integers())), min_size=1))
def test_jsonl_gives_back_every_object(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    path = tmp_path_factory.mktemp("t") / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert rows_of(path) == rows


def test_cells_may_span_lines_and_numbers_name_the_start(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"two\nlines",a\nplain,b\n')
    rows = list(Table(path))
    assert [(row.number, row.values["text"]) for row in rows] == [(2, "two\nlines"), (4, "plain")]


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
def test_the_separator_of_a_csv_is_found(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(delimiter.join(["text", "label"]) + "\n" + delimiter.join(['"a, b; c"', "x"]) + "\n")
    assert rows_of(path) == [{"text": "a, b; c", "label": "x"}]


def test_quotes_in_tsv_are_text(tmp_path: Path) -> None:
    """GLUE's files are not quoted: a lone quote must not swallow the lines after it."""
    path = tmp_path / "a.tsv"
    path.write_text('sentence\tlabel\n"never mind\t0\nit said "hi"\t1\n')
    assert [row["sentence"] for row in rows_of(path)] == ['"never mind', 'it said "hi"']


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        ('"3","Title here","Long text"\n"4","Other","Text"\n', ("1", "2", "3"), 2),  # AG News
        (" text , label \nx,1\n", ("text", "label"), 1),  # white space around names
        ("what,kind\nI like it,good\nno,bad\nyes,good\nhm,bad\n", ("what", "kind"), 4),
        ("good,I like it\nbad,not me\ngood,yes\nbad,no\n", ("1", "2"), 4),
        ("quality,number\na b,1\nc d,2\n", ("quality", "number"), 2),
    ],
)
def test_headers_are_recognised(tmp_path: Path, content: str, columns: tuple[str, ...], rows: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert Table(path).columns == columns
    assert len(rows_of(path)) == rows


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftext,label\nx,1\n")
    assert rows_of(path) == [{"text": "x", "label": "1"}]


def test_crlf_blank_lines_and_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"text,label\r\nx,1\r\n\r\ny,2\r\n"))
    assert [row["text"] for row in rows_of(path)] == ["x", "y"]


def test_plain_lines_keep_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one, two\n\nthree\n")
    assert [row["text"] for row in rows_of(path)] == ["one, two", "", "three"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.txt", "a"])
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_said(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    error = refuse(tmp_path / name)
    assert error.kind is ErrorKind.DATA
    assert "an empty file" in str(error)


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text,label\nx,1\n")
    error = refuse(tmp_path / "review.csv")
    assert error.kind is ErrorKind.DATA
    assert "reviews.csv" in str(error)


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"text,label\nx,1\ny\n", 3, "ragged row: expected 2 columns, got 1"),
        (b"text,label\nx,1\ny,2,3\n", 3, "ragged row: expected 2 columns, got 3"),
        (b"text,label\ncaf\xe9,1\n", 2, "byte 4 (0xe9) is not utf-8"),
        (b"text,label\nx,1\na\0b,1\n", 3, "NUL byte at byte 2"),
        (b"text,label\nx,1\n" + b"y" * (MAX_LINE_BYTES + 1) + b",1\n", 3, "line too long"),
        (b'text,label\nx,1\n"y"z,1\n', 3, "bad quoting"),
        (b'text,label\nx,1\n"never closed,1\nmore,2\n', 3, "bad quoting"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, content: bytes, line: int, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    error = refuse(path)
    assert error.kind is ErrorKind.DATA
    assert f"{path}:{line}: {words}" in str(error)


def test_other_encodings_are_read_when_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé,1\n".encode("cp1252"))
    assert rows_of(path, encoding="cp1252") == [{"text": "café", "label": "1"}]
    assert "--encoding cp1252" in str(refuse(path))
    assert refuse(path, encoding="klingon").kind is ErrorKind.USAGE


def test_utf16_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\nx,1\n".encode("utf-16"))
    assert "UTF-16" in str(refuse(path))


def test_every_bad_line_is_counted_and_twenty_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "x,1\n" + "ragged\n" * 30 + "y,2\n")
    problems = Problems(str(path))
    assert [row.values["text"] for row in Table(path).rows(problems)] == ["x", "y"]
    with pytest.raises(AlbertError) as caught:
        problems.raise_if_any()
    assert "30 bad lines" in str(caught.value)
    assert "… and 10 more" in str(caught.value)
    assert str(caught.value).count("ragged row") == 20


@pytest.mark.parametrize(
    ("line", "words"), [("{broken", "not JSON"), ("[1]", "not an object"), ("[" * 9999, "not JSON")]
)
def test_bad_json_lines_are_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x"}\n' + line + "\n")
    assert f"{path}:2: {words}" in str(refuse(path))


@given(st.binary(max_size=300))
def test_any_bytes_give_rows_or_one_clear_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("t")
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.txt", "a"):
        (folder / name).write_bytes(content)
        try:
            rows_of(folder / name)
        except AlbertError as error:
            assert error.kind is ErrorKind.DATA  # noqa: PT017
