"""Excel's workbooks as tables, and files that are no text."""

from __future__ import annotations

import bz2
import datetime
import gzip
import lzma
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from albert.data.tables import Table
from albert.errors import AlbertError
from conftest import Albert

Book = Callable[..., Path]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    def write(*sheets: Sequence[Sequence[Any]], hidden: Sequence[int] = (), name: str = "a.xlsx") -> Path:
        made = openpyxl.Workbook()
        made.remove(made.worksheets[0])
        for number, rows in enumerate(sheets):
            sheet = made.create_sheet(f"sheet {number}")
            sheet.sheet_state = "hidden" if number in hidden else "visible"
            for row in rows:
                sheet.append(row)
        made.save(tmp_path / name)
        return tmp_path / name

    return write


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(AlbertError) as caught:
        list(Table(str(path), **options))
    return str(caught.value)


def test_cells_are_read_as_excel_shows_them(book: Book) -> None:
    texts = ["a;b", 'one\n"two", three', "001", "x\ty", " spaces "]
    values = [3, 3.0, 0.25, True, None]
    dates = [
        datetime.datetime(2024, 5, 1), datetime.datetime(2024, 5, 1, 12, 30), datetime.date(2024, 5, 2),
        datetime.time(3, 4), "2024",
    ]  # fmt: skip
    table = Table(str(book([("text", "label", "when"), *zip(texts, values, dates, strict=True)])))
    assert table.columns == ("text", "label", "when")
    rows = list(table)
    assert [row.number for row in rows] == [2, 3, 4, 5, 6]
    assert [row.values["text"] for row in rows] == texts
    assert [row.values["label"] for row in rows] == ["3", "3", "0.25", "TRUE", ""]
    assert [row.values["when"] for row in rows] == [
        "2024-05-01", "2024-05-01T12:30:00", "2024-05-02", "03:04:00", "2024"
    ]  # fmt: skip


def test_blank_rows_are_left_out_and_counted(book: Book) -> None:
    rows = [(), ("text", "label"), (None, None), ("a b c", "x"), ("d", None), (), ("e", "y", None, "")]
    table = Table(str(book(rows)))
    assert [(row.number, row.values) for row in table] == [
        (4, {"text": "a b c", "label": "x"}), (5, {"text": "d", "label": ""}), (7, {"text": "e", "label": "y"})
    ]  # fmt: skip
    assert "a.xlsx:3: ragged row: expected 2 columns, got 3" in refused(
        book([("text", "label"), ("a", "b"), ("c", "d", "e")])
    )


def test_a_single_column_is_not_divided(book: Book) -> None:
    rows = [("text",), ("one; two; three",), ("four; five; six",)]
    table = Table(str(book(rows)))
    assert [row.values for row in table] == [{"text": row[0]} for row in rows[1:]]
    assert len(list(Table(str(book(rows)), header=False))) == 3


def test_the_first_sheet_with_rows_is_read_and_others_are_told(book: Book) -> None:
    rows, other = [("text",), ("a b",)], [("text",), ("c d",)]
    path = book([], other, rows, [], hidden=[1])
    assert [row.values["text"] for row in Table(str(path))] == ["a b"]
    assert "left out" not in str(Table(str(path)).remarks)
    remark = Table(str(book(rows, other, [], rows))).remarks[0]
    assert remark.endswith("a.xlsx: the sheet 'sheet 0' was read, 'sheet 1', 'sheet 3' left out")


def test_workbooks_that_are_none(book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "rows of data, got an empty file" in refused(book([]))
    assert "no such file. hint: did you mean" in refused(tmp_path / "b.xlsx")
    assert "got a folder" in refused(tmp_path, format="excel")
    whole = book([("text",), *[(f"row {number}",) for number in range(1000)]]).read_bytes()
    damaged = tmp_path / "damaged.xlsx"
    half = len(whole) // 2
    for bad in (b"", b"text\na\n", whole[:half], whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]):
        damaged.write_bytes(bad)
        assert "damaged.xlsx: expected a whole workbook (.xlsx), got" in refused(damaged)
    os.mkfifo(tmp_path / "pipe.xlsx")
    assert "got a pipe" in refused(tmp_path / "pipe.xlsx")
    for format in ("excel", "parquet"):
        assert "got a pipe" in refused(Path("-"), format=format)
    monkeypatch.setattr("albert.data.workbooks._MOST_BYTES", 1000)
    assert "expected at most 1,000 bytes, unpacked" in refused(tmp_path / "a.xlsx")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text,label\n".encode("utf-16"), "UTF-16"),
        ("a.csv", None, "a workbook or a ZIP archive"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old workbook"),
        ("a.txt", b"%PDF-1.7\n", "a PDF"),
        ("a.csv", b"PAR1\x15\x04", "Parquet. hint: let its name end in .parquet"),
        ("a", b"PAR1\x15\x04", "Parquet"),
        ("a.jsonl", gzip.compress(b"{}", mtime=0), "compressed. hint: let its name end in .gz"),
        ("a.csv", bz2.compress(b"text\n"), "compressed. hint: let its name end in .bz2"),
        ("a.csv", lzma.compress(b"text\n"), "compressed. hint: let its name end in .xz"),
        ("a.csv", b"\x28\xb5\x2f\xfd\x04\x00", "compressed. hint: let its name end in .zst"),
    ],
)  # fmt: skip
def test_files_that_are_no_text_are_called_by_their_kind(
    book: Book, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(book([("text", "label"), ("a", "b")]).read_bytes() if content is None else content)
    message = refused(path).replace(": expected utf-8", "")
    assert f"{name}:1: the file is {said}" in message


def test_a_workbook_is_trained_on_and_predicted(albert: Albert, book: Book, tmp_path: Path) -> None:
    words = [("good lamp", "yes"), ("bad chair", "no")]
    path = book([("review", "fine"), *[(f"{text} {number}", label) for number in range(20) for text, label in words]])
    out = tmp_path / "model"
    albert("train", str(path), "-o", str(out), "--size", "tiny", "--quiet", "--set", "epochs=1")
    albert("predict", str(out), str(path), "-o", str(tmp_path / "scored.csv"))
    lines = (tmp_path / "scored.csv").read_text().splitlines()
    assert len(lines) == 41
    assert lines[0].startswith("review,fine,prediction,score")
