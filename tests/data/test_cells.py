"""Lists of labels, as files hold them, and missing values."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from albert.audit.dataset import AuditConfig, audit
from albert.data.examples import Columns, read_examples
from albert.data.reading import DataSource
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.tasks import guess_task, task_named

MULTILABEL = task_named("multilabel")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (['["ham", "a"]', "[]"], [("ham", "a"), ()]),
        (["['a', 'b, c']"], [("a", "b, c")]),
        (["('a', 'b')", "{'c'}"], [("a", "b"), ("c",)]),
        (["['a' 'b']", "['a'\n 'c']"], [("a", "b"), ("a", "c")]),  # numpy's
        (["[1,0,0,1]", "[0,1,1,0]"], [("0", "3"), ("1", "2")]),
        (["[1 0 0]", "[0. 1. 1.]"], [("0",), ("1", "2")]),
        ([[1.0, 0.0], [0, 1], [0, 0]], [("0",), ("1",), ()]),
        ([[True, False, True]], [("0", "2")]),
        ([[3, 17], [2]], [("3", "17"), ("2",)]),
        (["[3, 17]", "[1.0]"], [("3", "17"), ("1",)]),
        ([[0], [1], [0, 1]], [("0",), ("1",), ("0", "1")]),  # of different lengths: numbers of labels
        (['[{"label": "ham", "score": 0.9}, {"label": "a", "score": 0.6}]', "[]"], [("ham", "a"), ()]),  # our own
    ],
)
def test_lists_of_labels_are_read_and_recognised(values: list[Any], labels: list[tuple[str, ...]]) -> None:
    parse = MULTILABEL.parser(values)
    assert [parse(value, None) for value in values] == labels
    assert guess_task([*values, "", None]).name == "multilabel"


@pytest.mark.parametrize(
    ("cell", "labels"), [("ham|a", ("ham", "a")), ("[ham, a]", ("ham", "a")), ("{ham;a}", ("ham", "a")), ("", ())]
)
def test_words_between_bars_and_brackets_are_labels(cell: str, labels: tuple[str, ...]) -> None:
    assert MULTILABEL.parse_gold(cell) == labels


@pytest.mark.parametrize(
    "cell", ['["ham", "a]', '["ham"', "[1, 2", "['a', ['b']", "[[1, 2], [3]]", "[null]", '"[""a"", ""b""]"', [math.nan]]
)
def test_half_a_list_is_refused(cell: Any) -> None:
    with pytest.raises(ValueError, match="label"):
        MULTILABEL.parse_gold(cell)


def test_rows_of_zeros_and_ones_have_one_length() -> None:
    parse = MULTILABEL.parser([[1, 0, 0], [0, 1, 0]])
    for value in ([1, 0], [1, 0, 2], "a|b", []):
        with pytest.raises(ValueError, match="expected 3 zeros and ones"):
            parse(value, None)
    with pytest.raises(ValueError, match="zeros and ones alike in all rows"):
        MULTILABEL.parser([[1, 0, 0, 1], [1, 0]])([1, 0, 0, 1], None)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["0.5", "0.25", "0.75", "1"] * 15 + ["NA"], "regression"),
        ([0.5, 0.25, 0.75, math.nan, None], "regression"),
        ([str(number) for number in range(30)] + ["NaN", ""], "regression"),
        (["0.5", "0.25", "0.75", "1"] * 5 + ["?"], "regression"),
        (["0.5", "a", "0.75", "b"], "classification"),
        (["pos", "neg", "nan"], "classification"),
        ([str(number) for number in range(30)] + ["other"], "classification"),
        ([None, math.nan, "NA"], "classification"),
        (["[spam]", "[ham]"], "classification"),
    ],
)
def test_missing_values_decide_no_task(values: list[Any], task: str) -> None:
    assert guess_task(values).name == task


def read(path: Path, task: str, **options: bool) -> tuple[list[tuple[str, Any]], list[str]]:
    problems = Problems(str(path))
    table = Table(path, **options)  # type: ignore[arg-type]
    examples = list(read_examples(table, Columns("text", None, "label"), task_named(task).parse_gold, problems))
    return [(example.text, example.gold) for example in examples], problems.lines


@pytest.mark.parametrize("word", ["NaN", "NA", "N/A", "None", "null", "nan", "<NA>", "#N/A", " NULL "])
def test_a_missing_value_is_no_label_number_or_text(tmp_path: Path, word: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"text,label\na,0.5\nb,{word}\n{word},0.7\nc,\n,0.1\n")
    for task, gold in (("classification", "0.5"), ("regression", 0.5)):
        examples, problems = read(path, task)
        assert examples == [("a", gold)]
        assert [int(line.split(":")[1]) for line in problems] == [3, 4, 5, 6]
        assert all("--keep-na" in line for line in problems[:2])
    kept, problems = read(path, "classification", keep_na=True)
    assert kept == [("a", "0.5"), ("b", word.strip()), (word, "0.7")]
    assert len(problems) == 2


def test_nan_and_null_are_missing_in_json_and_parquet(tmp_path: Path) -> None:
    rows = [("a", 1.0), ("b", None), (None, 2.0), ("c", math.nan)]
    lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows]
    (tmp_path / "a.jsonl").write_text("".join(lines) + '{"text": NaN, "label": 1.0}\n')
    pq.write_table(
        pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}), tmp_path / "a.parquet"
    )
    for name, bad in (("a.jsonl", 4), ("a.parquet", 3)):
        for keep in (False, True):
            examples, problems = read(tmp_path / name, "classification", keep_na=keep)
            assert examples == [("a", "1.0")]
            assert len(problems) == bad


def test_lines_of_plain_text_are_never_missing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("__label__x null\n__label__None NA\n")
    assert read(tmp_path / "a.txt", "classification") == ([("null", "x"), ("NA", "None")], [])


def test_a_check_counts_missing_labels_and_says_what_it_assumed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f"film number {n},{'NA' if n == 7 else n / 10}" for n in range(30)]
    path.write_text("what,score\n" + "\n".join(rows) + "\n")
    found = audit(AuditConfig(train=DataSource(str(path))))
    assert (found.task, found.splits[0].rows, found.splits[0].bad) == ("regression", 29, 1)
    kinds = {finding.kind: finding for finding in found.findings}
    assert [place.line for place in kinds["bad-rows"].places] == [9]
    assert "--no-header" in kinds["layout"].places[0].detail
    assert kinds["layout"].severity == "note"
