"""Rows as files hold them: the form that a name asks for, and values that come back as they were."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.data.sources import OPENERS
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.storage.records import COMPRESSORS, Form, Records

# Line ends in cells of CSV: a reader takes "\r\n" for "\n".
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
CELL = TEXT.filter(lambda text: "\r\n" not in text and not text.endswith("\r"))
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = ("text", "id", "a note", 'said "so"')


def written(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...] = NAMES, *, portion: int = 2) -> Records:
    """The rows in a file called as `path`, a few at a time as predictions come."""
    records = Records(Form.of(str(path)), columns)
    parts = [
        records.portion([(f"in:{at + i}", row) for i, row in enumerate(rows[at : at + portion], 1)], first=at == 0)
        for at in range(0, len(rows), portion)
    ]
    path.write_bytes(b"".join([*parts, records.end()]))
    return records


def read(path: Path, **options: str) -> list[dict[str, Any]]:
    return [row.values for row in Table(path, **options)]


def refusal(name: str, format: str | None = None) -> AlbertError:
    with pytest.raises(AlbertError) as caught:
        Form.of(name, format)
    assert caught.value.kind is ErrorKind.USAGE
    return caught.value


@pytest.mark.parametrize(
    ("name", "format", "form"),
    [
        ("o.jsonl", None, Form("jsonl")),
        ("O.CSV", None, Form("csv")),
        ("a/b.c/o.tsv.bz2", None, Form("tsv", ".bz2")),
        ("O.Json.GZ", None, Form("json", ".gz")),
        ("o.ndjson.zst", None, Form("jsonl", ".zst")),
        ("o", None, Form("jsonl")),
        ("o.gz", "csv", Form("csv", ".gz")),
        ("o.txt", "tsv", Form("tsv")),
        ("o.csv", "csv", Form("csv")),
        ("-", "json", Form("json")),
    ],
)
def test_a_name_asks_for_a_form(name: str, format: str | None, form: Form) -> None:
    assert Form.of(name, format) == form


@pytest.mark.parametrize("name", ["o.parquet", "O.PARQUET", "o.xlsx", "o.txt", "o.csv.zip", "o.feather.gz", "o.v2"])
def test_other_endings_are_refused_by_name(name: str) -> None:
    error = refusal(name)
    assert ".csv" in str(error)
    assert Path(name.removesuffix(".gz")).suffix.lower() in str(error.got)


def test_a_format_that_the_name_denies_is_refused() -> None:
    assert "csv in it" in str(refusal("o.csv", "jsonl"))
    assert "tsv in it" in str(refusal("o.TSV.gz", "csv"))
    refusal("o.parquet", "jsonl")
    assert "jsonl, json, csv or tsv" in str(refusal("o", "xml"))


def test_what_is_compressed_can_be_read() -> None:
    assert COMPRESSORS.keys() == OPENERS.keys()


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".CSV"])
@pytest.mark.parametrize("compression", ["", *COMPRESSORS, ".GZ"])
def test_portions_make_one_file(tmp_path: Path, ending: str, compression: str) -> None:
    rows = [{"text": f"line {number}", "score": str(number)} for number in range(5)]
    path = tmp_path / f"o{ending}{compression}"
    written(path, rows, ("text", "score"))
    assert read(path) == rows


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), CELL, min_size=1), min_size=1, max_size=6))
def test_csv_gives_back_every_text_in_its_column(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("t") / "a.csv"
    records = written(path, rows)
    whole = [{name: row.get(name, "") for name in NAMES} for row in rows]
    assert list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline=""), strict=True)) == whole
    assert records.blank == sum(len(row) < len(NAMES) for row in rows)
    for row in whole:
        row["score"] = "0.5"
    written(path, whole, (*NAMES, "score"))
    assert read(path) == whole


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), TEXT, min_size=1), min_size=1, max_size=6))
def test_tsv_gives_back_every_text_or_refuses_it(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = tmp_path_factory.mktemp("t") / "a.tsv"
    rows = [{**row, "score": "0.5"} for row in rows]
    if any(set("\t\r\n") & set("".join(row.values())) for row in rows):
        with pytest.raises(AlbertError, match="column"):
            written(path, rows, (*NAMES, "score"))
        return
    written(path, rows, (*NAMES, "score"))
    assert read(path) == [{name: row.get(name, "") for name in (*NAMES, "score")} for row in rows]


@pytest.mark.parametrize("text", ['"Great" film', '"', '""', "back\\slash \\t \\n", "'single'", '"a,b";c', "#1", "\\"])
def test_tsv_cells_are_never_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "o.tsv"
    written(path, [{"text": text, "score": "1"}], ("text", "score"))
    assert path.read_text() == f"text\tscore\n{text}\t1\n"
    assert read(path) == [{"text": text, "score": "1"}]


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("o.tsv", "a\tb", ".csv"),
        ("o.tsv", "a\nb", ".csv"),
        ("o.tsv", "a\rb", ".csv"),
        ("o.tsv", "\0", ".jsonl"),
        ("o.csv", "a\0b", ".jsonl"),
        ("o.csv", "half \ud83d", ".jsonl"),
    ],
)
def test_what_a_table_cannot_hold_is_refused_by_place(tmp_path: Path, name: str, text: str, hint: str) -> None:
    with pytest.raises(AlbertError) as caught:
        written(tmp_path / name, [{"text": "fine"}, {"text": text}], ("text",))
    assert caught.value.kind is ErrorKind.DATA
    assert caught.value.what.startswith("in:2: ")
    assert "'text'" in caught.value.what
    assert hint in str(caught.value.hint)


def test_a_late_column_is_refused_not_shifted(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match=r"in:2: column 'new'.*text.*jsonl"):
        written(tmp_path / "o.csv", [{"text": "a"}, {"new": "b", "text": "c"}], ("text",))


@given(st.lists(st.dictionaries(TEXT, VALUE, min_size=1), min_size=1, max_size=6), st.sampled_from(["jsonl", "json"]))
def test_json_gives_back_every_value(tmp_path_factory: pytest.TempPathFactory, rows: list[Any], ending: str) -> None:
    path = tmp_path_factory.mktemp("t") / f"a.{ending}"
    written(path, rows)
    assert read(path) == rows


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_numbers_that_json_lacks_are_null_and_counted(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"o.{ending}"
    nan, inf = float("nan"), float("inf")
    records = written(path, [{"a": nan, "b": [1.5, -inf, {"c": inf}]}, {"a": 2}])
    assert read(path) == [{"a": None, "b": [1.5, None, {"c": None}]}, {"a": 2}]
    assert records.nulls == 3
    assert "NaN" not in path.read_text()
    assert "Infinity" not in path.read_text()


def test_half_characters_are_escaped(tmp_path: Path) -> None:
    written(tmp_path / "o.jsonl", [{"é \udc00": "x\ud83d"}])
    assert (tmp_path / "o.jsonl").read_bytes() == b'{"\xc3\xa9 \\udc00": "x\\ud83d"}\n'
    assert read(tmp_path / "o.jsonl") == [{"é \udc00": "x\ud83d"}]


BERLIN = datetime.timezone(datetime.timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.datetime(2024, 2, 29, 3, 4, 5), "2024-02-29T03:04:05"),
        (datetime.datetime(2024, 2, 29, 3, 4, 5, 6, BERLIN), "2024-02-29T03:04:05.000006+01:00"),
        (datetime.time(23, 59), "23:59:00"),
        (datetime.timedelta(days=1, seconds=2), "PT86402S"),
        (datetime.timedelta(seconds=-1.5), "-PT1.5S"),
        (decimal.Decimal("12.50"), "12.50"),
        (decimal.Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (b"\xff\0text", "/wB0ZXh0"),
    ],
)
@pytest.mark.parametrize("name", ["o.jsonl", "o.json", "o.csv", "o.tsv"])
def test_values_of_parquet_are_texts(tmp_path: Path, name: str, value: Any, text: str) -> None:
    written(tmp_path / name, [{"text": "a", "v": value}, {"text": "b", "v": [value]}], ("text", "v"))
    first, second = read(tmp_path / name)
    assert first == {"text": "a", "v": text}
    assert second["v"] in ([text], json.dumps([text]))


def test_cells_of_a_table(tmp_path: Path) -> None:
    values = {"a": None, "b": True, "c": 1.0, "d": float("nan"), "e": [1, None], "f": {"x": "é"}, "g": 10**30}
    written(tmp_path / "o.csv", [values], tuple(values))
    assert (tmp_path / "o.csv").read_text().splitlines()[1] == (
        ',true,1.0,nan,"[1, null]","{""x"": ""é""}",1000000000000000000000000000000'
    )
