"""JSON documents as tables: told from JSONL, read whole, refused with a reason."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.data.examples import guess_columns, read_examples
from albert.data.sources import Problems
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind
from albert.tasks import TASKS
from albert.tasks.qa import Answer

QUESTION = {"id": "q", "question": "where", "answers": [{"text": "here", "answer_start": 0}]}
SQUAD = {"data": [{"title": "t", "paragraphs": [{"context": "here we are", "qas": [QUESTION] * 3}]}]}


def values(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [row.values for row in Table(path, **options)]


def test_an_array_of_objects_is_a_table_with_its_rows_numbered(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"text": "a", "label": 1}, {"text": "b", "more": None}], indent=2))
    table = Table(path)
    assert table.columns == ("text", "label", "more")
    assert [(row.number, row.values["text"]) for row in table.rows(Problems(str(path)))] == [(1, "a"), (2, "b")]
    assert len(table.sample()) == 2


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_one_long_line_of_squad_is_no_bad_line(tmp_path: Path, suffix: str) -> None:
    long = {"data": [{"title": "t", "paragraphs": [{"context": "here " * 300_000, "qas": [QUESTION] * 2}]}]}
    path = tmp_path / f"dev{suffix}"
    opener = gzip.open if suffix.endswith("gz") else open
    with opener(path, "wt") as file:
        json.dump(long, file)
    assert [row["question"] for row in values(path)] == ["where", "where"]


def test_json_lines_in_a_json_file_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('{"text": "a"}\n{"text": "b"}\n')
    assert values(path) == [{"text": "a"}, {"text": "b"}]
    path.write_text(json.dumps(SQUAD))  # one line, too, yet a document
    assert len(values(path)) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"data": [', "not JSON"),
        (b'{"version": 1}\n\n', "array of objects"),
        (b"[1, 2]", "array of objects"),
        (b"[]", "array of objects"),
        (b'[{"text": "\xff"}]', "utf-8 text"),
        (json.dumps({"data": [{"paragraphs": [{"context": "x"}]}]}).encode(), "qas"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_known_document_says_so(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(AlbertError, match=words) as caught:
        Table(path, format="json")
    assert caught.value.kind is ErrorKind.DATA
    assert str(path) in str(caught.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=8))  # fmt: skip
def test_any_json_gives_rows_or_one_clear_error(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("d") / "any.json"
    path.write_text(json.dumps(value))
    kinds = []
    try:
        assert all(isinstance(row.values, dict) for row in Table(path, format="json"))
    except AlbertError as error:
        kinds.append(error.kind)
    assert kinds in ([], [ErrorKind.DATA])


def test_the_unnamed_first_column_of_pandas_is_an_index(tmp_path: Path) -> None:
    path = tmp_path / "frame.csv"
    path.write_text(",text,label\n0,a,x\n1,b,y\n")
    assert values(path) == [{"index": "0", "text": "a", "label": "x"}, {"index": "1", "text": "b", "label": "y"}]


# --- Parquet, fastText -----------------------------------------------------------------------------------


def test_parquet_is_streamed_with_its_nested_values(tmp_path: Path) -> None:
    path = tmp_path / "squad.parquet"
    answers = {"text": ["here"], "answer_start": [0]}
    rows = [{"question": f"where {n}", "context": "here we are", "answers": answers} for n in range(3000)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    table = Table(path)
    assert table.columns == ("question", "context", "answers")
    assert len(table.sample()) == 100
    found = list(table)
    assert [row.number for row in found[:2]] == [1, 2]
    assert found[2999].values == rows[2999]


def test_a_damaged_parquet_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(AlbertError, match="Parquet") as caught:
        Table(path)
    assert caught.value.kind is ErrorKind.DATA


def test_fasttext_lines_have_one_label_or_lists(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("__label__spam win a prize\n__label__ham see you  soon\n")
    assert values(path) == [{"text": "win a prize", "label": "spam"}, {"text": "see you  soon", "label": "ham"}]
    path.write_text("__label__a __label__b both\n__label__b one\n")
    assert values(path) == [{"text": "both", "labels": ["a", "b"]}, {"text": "one", "labels": ["b"]}]


def test_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    columns = pa.table([["a"], ["b"], ["c"]], names=["text", "label", "text"])
    pq.write_table(columns, tmp_path / "a.parquet")
    with pytest.raises(AlbertError, match="distinct column names, got 'text' 2 times") as caught:
        Table(tmp_path / "a.parquet")
    assert caught.value.kind is ErrorKind.DATA


@pytest.mark.parametrize(
    "line", ['{"text": "a", "label": "x", "text": "b"}', '{"text": "a", "more": {"n": 1, "n": 2}}']
)
def test_an_object_with_a_key_twice_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(f"{line}\n")
    with pytest.raises(AlbertError, match=r"a.jsonl:1: .* twice in one object"):
        list(Table(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    "row",
    [
        {"text": "a", "label": "x"},
        {"q": "where", "n": 3, "none": None},
        {"question": "where", "context": "here", "answers": [{"text": "here", "answer_start": 0}]},
        {"text": "Maria", "spans": [[0, 5, "person"]]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_single_object_is_a_row(tmp_path: Path, row: dict[str, Any], indent: int | None) -> None:
    (tmp_path / "a.json").write_text(json.dumps(row, indent=indent))
    assert values(tmp_path / "a.json") == [row]


def test_a_wrapper_of_rows_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"description": "ours", "rows": [{"text": "a"}]}')
    with pytest.raises(AlbertError, match="array of objects"):
        Table(tmp_path / "a.json")


# --- SQuAD's files as others write them ---------------------------------------------------------------------


def squad(*questions: dict[str, Any], context: str = "the 11 boats sail") -> dict[str, Any]:
    return {"data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]}


def gold(path: Path) -> list[tuple[Answer, ...]]:
    table, task, problems = Table(path, label="answers"), TASKS["qa"], Problems(str(path))
    columns = guess_columns(table)
    found = [example.gold for example in read_examples(table, columns, task.parse_gold, problems)]
    problems.raise_if_any()
    return found


def test_a_hidden_test_has_questions_without_answers_and_ids(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    path.write_text(json.dumps(squad({"question": "how many", "id": 7}, {"question": "what"})))
    rows = values(path)
    assert [(row["id"], row["question"], row["answers"]) for row in rows] == [
        ("7", "how many", None),
        ("2", "what", None),
    ]
    with pytest.raises(AlbertError, match=r"got none") as caught:
        gold(path)
    assert caught.value.kind is ErrorKind.DATA


@pytest.mark.parametrize(
    "question",
    [
        {"is_impossible": True, "answers": [{"text": "", "answer_start": -1}]},
        {"is_impossible": "true", "answers": [{"text": "boats", "answer_start": 7}]},
        {"is_impossible": True},
        {"answers": [{"text": "", "answer_start": -1}]},
        {"answers": [{"text": "", "answer_start": "-1"}]},
        {"is_impossible": "false", "answers": []},
    ],
)
def test_no_answer_is_written_in_many_ways(tmp_path: Path, question: dict[str, Any]) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(squad({"id": "a", "question": "who", **question})))
    assert gold(path) == [()]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([{"text": 11, "answer_start": 4}], Answer(4, "11")),
        ([{"text": "11", "answer_start": "4"}], Answer(4, "11")),
        ([{"text": "boats", "answer_start": 7.0}], Answer(7, "boats")),
        ({"text": "boats", "answer_start": 7}, Answer(7, "boats")),
        ({"text": ["boats"], "answer_start": [7]}, Answer(7, "boats")),
        ([{"text": "", "answer_start": -1}, {"text": "boats", "answer_start": 7}], Answer(7, "boats")),
    ],
)
def test_numbers_and_single_answers_are_readable(tmp_path: Path, answers: Any, expected: Answer) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(squad({"id": "a", "question": "who", "is_impossible": "false", "answers": answers})))
    assert gold(path) == [(expected,)]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"data": [{"paragraphs": [{"qas": [QUESTION]}]}]}, "data[0] has no 'context'"),
        (squad({"id": "a"}), "question 1 has no 'question'"),
        ({"data": [{"paragraphs": []}, {"title": "t"}]}, "data[1] has no 'paragraphs'"),
        ({"article": "a", "questions": ["q", "r"], "options": [["x", "y"]]}, "2, 1 and 2"),
        ({"article": "a", "questions": ["q"], "options": [["x", "y"]], "answers": ["A", "B"]}, "1, 1 and 2"),
    ],
)
def test_a_part_that_is_missing_is_named(tmp_path: Path, value: Any, words: str) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(value))
    with pytest.raises(AlbertError, match=re.escape(words)):
        Table(path)


def test_a_folder_of_races_files_leaves_hidden_copies_out(tmp_path: Path) -> None:
    article = json.dumps(
        {"id": "high1.txt", "article": "a", "questions": ["q"], "options": [["x", "y"]], "answers": ["A"]}
    )
    for place in ("high", ".ipynb_checkpoints"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "1.txt").write_text(article)
    with gzip.open(tmp_path / "2.json.gz", "wt") as file:
        file.write(article)
    assert len(values(tmp_path)) == 2
