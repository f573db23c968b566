"""Predictions from file to file: every column in its place, every name kept, every kind of output looked at first."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from albert.data.tables import Table
from albert.engine import Engine
from albert.errors import AlbertError, ErrorKind
from albert.predict.files import Scored, score_file
from albert.predict.predictor import Predictor
from albert.tasks import DecodeOptions
from albert.text.hardening.hardener import Hardening
from albert.text.tokenizer import AlbertTokenizer
from served import write_model

ENDINGS = ["jsonl", "json", "csv", "tsv", "CSV", "csv.gz", "tsv.bz2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> Path:
    return write_model(tmp_path_factory.mktemp("scoring") / "model", "classification", tokenizer)


@pytest.fixture
def model(folder: Path) -> Predictor:
    return Predictor.load(folder)


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row.values for row in Table(path)]


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refusal(kind: ErrorKind, model: Predictor, source: Path, out: Path, **options: Any) -> str:
    """The error, which leaves nothing behind."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(AlbertError) as caught:
        score_file(model, str(source), str(out), **options)
    assert caught.value.kind is kind, caught.value
    assert sorted(out.parent.iterdir()) == before
    return str(caught.value)


# --- columns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_values_stay_in_their_columns_whatever_a_row_has(model: Predictor, tmp_path: Path, ending: str) -> None:
    rows = [
        {"id": "1", "text": "a b", "note": "x"},
        {"text": "c d", "id": "2", "note": "y"},  # in another order
        {"text": "e f", "note": "z"},  # without one
        {"extra": "new", "id": "4", "text": "g h", "note": ""},  # with one more
    ]
    rows += [{"text": f"t {n}", "id": str(n)} for n in range(5, 150)] + [{"late": "l", "text": "last"}]
    source = write_json_lines(tmp_path / "in.jsonl", rows)
    out = tmp_path / f"out.{ending}"
    scored = score_file(model, str(source), str(out))
    found = rows_of(out)
    assert len(found) == len(rows) == scored.rows
    for row, one in zip(rows, found, strict=True):
        assert {name: one[name] for name in row} == row
        assert all(one[name] == "" for name in one.keys() - {*row, "prediction", "score"})
        assert one["prediction"] in model.labels
    table = "json" not in ending
    assert bool(scored.remarks) == table
    if table:
        assert list(found[0]) == ["id", "text", "note", "extra", "late", "prediction", "score"]
        assert "lack a column" in scored.remarks[0]
        assert scored.remarks[0].endswith(" 150")


def test_a_json_document_keeps_its_columns_too(model: Predictor, tmp_path: Path) -> None:
    rows = [{"text": "a", "n": [1]}, {"n": {"k": 2}, "text": "b", "more": True}]
    (tmp_path / "in.json").write_text(json.dumps(rows))
    score_file(model, str(tmp_path / "in.json"), str(tmp_path / "out.csv"))
    found = rows_of(tmp_path / "out.csv")
    assert [(row["text"], row["n"], row["more"]) for row in found] == [("a", "[1]", ""), ("b", '{"k": 2}', "true")]


def test_a_stream_cannot_know_later_columns(model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": f"t {n}"} for n in range(120)] + [{"text": "u", "late": 1}]
    source = tmp_path / "pipe"
    os.mkfifo(source)
    for name, written in (("out.csv", False), ("out.jsonl", True)):
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        writer = threading.Thread(target=lambda text=text: source.write_bytes(text))
        writer.start()
        if written:
            assert score_file(model, str(source), str(tmp_path / name)).rows == 121
            assert rows_of(tmp_path / name)[-1]["late"] == 1
        else:
            told = refusal(ErrorKind.DATA, model, source, tmp_path / name)
            assert "pipe:121: column 'late'" in told
            assert ".jsonl" in told
        writer.join(10)
        assert not writer.is_alive()


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_late_row_with_a_column_of_ours_is_refused(model: Predictor, tmp_path: Path, ending: str) -> None:
    rows = [{"text": f"t {n}"} for n in range(130)] + [{"text": "u", "score": 0.5}]
    source = write_json_lines(tmp_path / "in.jsonl", rows)
    assert "in.jsonl:131: column 'score'" in refusal(ErrorKind.DATA, model, source, tmp_path / f"out.{ending}")


def test_what_tsv_cannot_hold_is_refused_before_any_row_is_computed(
    model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "predict", lambda *_: pytest.fail("a row was computed"))
    source = tmp_path / "in.csv"
    source.write_text('text,note\na,b\n"two\nlines",c\n')
    assert "in.csv:3: '\\n' in column 'text'" in refusal(ErrorKind.DATA, model, source, tmp_path / "out.tsv")
    for name in ("in.json", "in.parquet"):
        (tmp_path / "in.json").write_text('[{"text": "a"}, {"text": "b\\u0000"}]')
        pq.write_table(pa.table({"text": ["a", "b\0"]}), tmp_path / "in.parquet")
        assert f"{name}:2: " in refusal(ErrorKind.DATA, model, tmp_path / name, tmp_path / "out.csv")


def test_quotes_come_back_from_tsv(model: Predictor, tmp_path: Path) -> None:
    texts = ['"Great" film', '"', "it's \\ \\t", '""x""']
    source = write_json_lines(tmp_path / "in.jsonl", [{"text": text} for text in texts])
    score_file(model, str(source), str(tmp_path / "out.tsv"))
    assert [row["text"] for row in rows_of(tmp_path / "out.tsv")] == texts


def test_lone_surrogates_are_refused_by_line(model: Predictor, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "fine"}\n{"text": "half \\ud83d"}\n')
    assert "in.jsonl:2: " in refusal(ErrorKind.DATA, model, tmp_path / "in.jsonl", tmp_path / "out.jsonl")


# --- Parquet ---------------------------------------------------------------------------------------------


def parquet(path: Path) -> Path:
    moment = datetime.datetime(2024, 2, 29, 3, 4, 5, 678)
    columns = {
        "text": ["a b", "c d"],
        "day": [datetime.date(2024, 2, 29), None],
        "at": pa.array([moment, None], pa.timestamp("us")),
        "there": pa.array([moment, None], pa.timestamp("us", "Asia/Kolkata")),
        "exact": pa.array([1_709_175_845_123_456_789, None], pa.timestamp("ns", "UTC")),
        "price": [decimal.Decimal("12.50"), None],
        "raw": [b"\xff\x00", b""],
        "nested": [{"days": [datetime.date(2024, 1, 1)], "n": float("nan")}, None],
        "ratio": [float("nan"), float("-inf")],
    }
    pq.write_table(pa.table(columns), path)
    return path


EXPECTED = {
    "text": "a b",
    "day": "2024-02-29",
    "at": "2024-02-29T03:04:05.000678",
    "there": "2024-02-29T08:34:05.000678+05:30",
    "exact": "2024-02-29T03:04:05.123456789+00:00",
    "price": "12.50",
    "raw": "/wA=",
    "nested": {"days": ["2024-01-01"], "n": None},
    "ratio": None,
}


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_parquets_types_are_carried_to_json(model: Predictor, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    scored = score_file(model, str(parquet(tmp_path / "in.parquet")), str(out))
    first, second = rows_of(out)
    assert {name: first[name] for name in EXPECTED} == EXPECTED
    assert {name: second[name] for name in EXPECTED} == {
        **dict.fromkeys(EXPECTED), "text": "c d", "raw": "",
    }  # fmt: skip
    assert scored.remarks == ("numbers that JSON lacks (NaN, infinity), written as null: 3",)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for line in out.read_text().splitlines():
        if line.startswith("{"):
            json.loads(line.rstrip(","), parse_constant=refuse)


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_parquets_types_are_carried_to_tables(model: Predictor, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    score_file(model, str(parquet(tmp_path / "in.parquet")), str(out))
    first, second = rows_of(out)
    cells = {name: value for name, value in EXPECTED.items() if isinstance(value, str)}
    assert {name: first[name] for name in cells} == cells
    assert json.loads(first["nested"]) == EXPECTED["nested"]
    assert (first["ratio"], second["ratio"], second["day"], second["nested"]) == ("nan", "-inf", "", "")


# --- names and kinds of outputs --------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_json_lines(tmp_path / "in.jsonl", [{"text": f"text {n}", "id": n} for n in range(25)])


@pytest.fixture
def expected(model: Predictor, source: Path, tmp_path: Path) -> bytes:
    score_file(model, str(source), str(tmp_path / "expected.jsonl"))
    return (tmp_path / "expected.jsonl").read_bytes()


def test_a_compressed_name_is_compressed(model: Predictor, source: Path, expected: bytes, tmp_path: Path) -> None:
    score_file(model, str(source), str(tmp_path / "out.JSONL.gz"))
    assert gzip.decompress((tmp_path / "out.JSONL.gz").read_bytes()) == expected


@pytest.mark.parametrize("name", ["out.parquet", "out.txt", "out.csv.zip", "out.XLSX"])
def test_a_name_that_cannot_be_kept_is_refused_at_once(
    model: Predictor, source: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "predict", lambda *_: pytest.fail("a row was computed"))
    assert Path(name).suffix.lower() in refusal(ErrorKind.USAGE, model, source, tmp_path / name)


def test_a_name_without_an_ending_is_told(model: Predictor, source: Path, expected: bytes, tmp_path: Path) -> None:
    scored = score_file(model, str(source), str(tmp_path / "out"))
    assert "JSON lines" in scored.remarks[0]
    assert (tmp_path / "out").read_bytes() == expected
    assert score_file(model, str(source), str(tmp_path / "out"), output_format="csv").remarks == ()


def test_a_folder_is_refused_before_any_row_is_computed(
    model: Predictor, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "predict", lambda *_: pytest.fail("a row was computed"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("folder", "link"):
        assert "got a folder" in refusal(ErrorKind.DISK, model, source, tmp_path / name)
    with pytest.raises(AlbertError, match="a folder"):
        score_file(model, str(source), f"{tmp_path / 'new'}/")
    assert not (tmp_path / "new").exists()


def test_a_link_stays_one(model: Predictor, source: Path, expected: bytes, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name, target in (("old.jsonl", tmp_path / "deep" / "old.jsonl"), ("new.jsonl", Path("deep/new.jsonl"))):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "deep" / "old.jsonl").write_text("before\n")
    for name in ("old.jsonl", "new.jsonl"):
        score_file(model, str(source), str(tmp_path / name))
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "deep" / name).read_bytes() == expected


def test_a_device_stays_one(model: Predictor, source: Path, tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    for out in ("/dev/null", str(tmp_path / "null")):
        assert score_file(model, str(source), out).rows == 25
    assert Path("/dev/null").is_char_device()
    assert (tmp_path / "null").is_symlink()
    with pytest.raises(AlbertError, match="No space left") as caught:
        score_file(model, str(source), "/dev/full")
    assert caught.value.kind is ErrorKind.DISK


@pytest.mark.parametrize("name", ["pipe", "pipe.jsonl"])
def test_a_pipe_is_written_as_a_stream(
    model: Predictor, source: Path, expected: bytes, tmp_path: Path, name: str
) -> None:
    os.mkfifo(tmp_path / name)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / name).read_bytes()))
    reader.start()
    score_file(model, str(source), str(tmp_path / name))
    reader.join(10)
    assert found == [expected]
    assert (tmp_path / name).is_fifo()
    assert not (tmp_path / f"{name}.part").exists()


def test_an_open_file_is_added_to(model: Predictor, source: Path, expected: bytes, tmp_path: Path) -> None:
    """As `/dev/stdout` of `albert predict … >> log`."""
    (tmp_path / "log").write_bytes(b"before\n")
    with (tmp_path / "log").open("ab") as log:
        (tmp_path / "out").symlink_to(f"/proc/self/fd/{log.fileno()}")
        for out in (f"/dev/fd/{log.fileno()}", str(tmp_path / "out")):
            score_file(model, str(source), out)
    assert (tmp_path / "log").read_bytes() == b"before\n" + 2 * expected


def test_a_header_alone_is_no_data(model: Predictor, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text,label\n")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "in.parquet")
    for name in ("in.csv", "in.parquet"):
        assert "header alone" in refusal(ErrorKind.DATA, model, tmp_path / name, tmp_path / "out.csv")
        with pytest.raises(AlbertError, match=r"header alone|no label column|which column"):
            model.evaluate(tmp_path / name)


# --- interrupted calls -----------------------------------------------------------------------------------


@pytest.fixture
def interrupted(model: Predictor, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An output whose first ten rows are there."""
    monkeypatch.setattr("albert.predict.files.CHUNK", 10)
    predict, out = model.predict, tmp_path / "out.json.gz"
    calls = [predict]
    monkeypatch.setattr(model, "predict", lambda *arguments: calls.pop()(*arguments))
    with pytest.raises(IndexError):
        score_file(model, str(source), str(out))
    monkeypatch.setattr(model, "predict", predict)
    assert Path(f"{out}.part").is_file()
    yield out
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.json.gz"]


def test_the_same_call_goes_on(model: Predictor, source: Path, interrupted: Path) -> None:
    assert score_file(model, str(source), str(interrupted)) == Scored(25, 10, 0)
    assert [row["id"] for row in rows_of(interrupted)] == list(range(25))


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("input encoding", {"encoding": "cp1252"}),
        ("input format", {"format": "jsonl"}),
        ("top_k", {"options": DecodeOptions(top_k=2)}),
        ("max_answer", {"options": DecodeOptions(max_answer=7)}),
        ("no_answer", {"options": DecodeOptions(no_answer=True)}),
        ("aggregation", {"options": DecodeOptions(aggregation="max")}),
    ],
)
def test_another_option_begins_anew_and_says_so(
    model: Predictor, source: Path, interrupted: Path, what: str, options: dict[str, Any]
) -> None:
    scored = score_file(model, str(source), str(interrupted), **options)
    assert (scored.rows, scored.resumed) == (25, 0)
    assert "10 rows of an earlier call" in scored.remarks[0]
    assert what in scored.remarks[0]
    assert [row["id"] for row in rows_of(interrupted)] == list(range(25))


def test_another_form_of_the_model_begins_anew(model: Predictor, source: Path, interrupted: Path) -> None:
    model.engine = Engine(model.model, "bf16" if model.engine.precision == "fp32" else "fp32")
    scored = score_file(model, str(source), str(interrupted))
    assert scored.resumed == 0
    assert "precision" in scored.remarks[0]


@pytest.mark.parametrize("name", ["threads", "torch", "instructions", "compiled kernels"])
def test_rows_of_another_machine_are_kept_and_told(
    model: Predictor, source: Path, interrupted: Path, name: str
) -> None:
    """Their scores can differ in the last digits, which nobody should have to guess."""
    note = interrupted.with_name(f"{interrupted.name}.part.json")
    told = json.loads(note.read_text())
    assert {*told["machine"]} == {"threads", "torch", "instructions", "compiled kernels"}
    told["machine"][name] = "another"
    note.write_text(json.dumps(told))
    scored = score_file(model, str(source), str(interrupted))
    assert (scored.rows, scored.resumed) == (25, 10)
    assert (
        f"10 rows are of an earlier call, whose scores can differ in the last digits: {name} another then"
        in scored.remarks[0]
    )


def test_another_number_of_threads_is_told(model: Predictor, source: Path, interrupted: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        scored = score_file(model, str(source), str(interrupted))
    finally:
        torch.set_num_threads(before)
    assert (scored.rows, scored.resumed) == (25, 10)
    assert f"threads {before} then, {before + 1} now" in scored.remarks[0]


@pytest.mark.parametrize("odd", [[], "x", 3, None, {"threads": [1]}, {"x" * 100: "y" * 5000}])
def test_an_odd_note_of_the_machine_is_no_fault(model: Predictor, source: Path, interrupted: Path, odd: Any) -> None:
    note = interrupted.with_name(f"{interrupted.name}.part.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "machine": odd}))
    assert score_file(model, str(source), str(interrupted)).rows == 25
    assert [row["id"] for row in rows_of(interrupted)] == list(range(25))


def test_what_changes_an_answer_is_in_the_identity(folder: Path) -> None:
    model = Predictor.load(folder, precision="fp32")
    before = model.identity()
    assert Predictor.load(folder, precision="bf16").identity() != before
    assert Predictor.load(folder, precision="fp32").identity() == before
    for name, value in (
        ("thresholds", (0.25,)),
        ("lengths", replace(model.lengths, max_length=40)),
        ("columns", replace(model.columns, text="review")),
        ("tokenizer", model.tokenizer.with_hardening(Hardening())),
        ("fingerprint", "another"),
    ):
        other = Predictor.load(folder, precision="fp32")
        setattr(other, name, value)
        assert other.identity() != before, name


def test_a_bad_row_leaves_nothing_behind(model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("albert.predict.files.CHUNK", 10)
    source = write_json_lines(tmp_path / "in.jsonl", [{"text": "a"}] * 25 + [{"text": None}])
    assert "in.jsonl:26: " in refusal(ErrorKind.DATA, model, source, tmp_path / "out.jsonl")
