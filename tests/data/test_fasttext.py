from __future__ import annotations

from pathlib import Path

import pytest

from albert.data.sources import Problems
from albert.data.tables import Table


def rows_of(tmp_path: Path, content: str, name: str = "a.txt") -> list[dict[str, object]]:
    (tmp_path / name).write_text(content, encoding="utf-8")
    return [row.values for row in Table(tmp_path / name)]


@pytest.mark.parametrize(
    ("line", "label", "text"),
    [
        ("__label__ham\tOk lar", "ham", "Ok lar"),
        ("  __label__ham   Ok  lar ", "ham", "Ok  lar"),
        ("Ok lar __label__ham", "ham", "Ok lar"),
        ("Ok\t__label__ham\tlar", "ham", "Ok lar"),
        ("__label__ham\u3000Ok", "ham", "Ok"),
        ("__label__ham, Ok, lar", "ham", "Ok, lar"),
        ("__label__a/b-c Ok", "a/b-c", "Ok"),
        ("__label__1,5 Ok", "1,5", "Ok"),
    ],
)
def test_a_label_ends_at_any_white_space(tmp_path: Path, line: str, label: str, text: str) -> None:
    assert rows_of(tmp_path, f"{line}\n") == [{"text": text, "label": label}]


@pytest.mark.parametrize(
    "line",
    [
        "__label__a  __label__b some text",
        "__label__a\t__label__b\tsome text",
        "__label__a, __label__b some text",
        "__label__a,__label__b; some text",
        "some text __label__a __label__b",
        "__label__a some __label__b text",
    ],
)
def test_no_label_stays_in_the_text(tmp_path: Path, line: str) -> None:
    assert rows_of(tmp_path, f"{line}\n") == [{"text": "some text", "labels": ["a", "b"]}]


def test_what_stood_behind_labels_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("__label__a x\n__label__a, __label__b; y\n")
    problems = Problems("a.txt")
    assert len(list(Table(tmp_path / "a.txt").rows(problems))) == 2
    assert "2 labels had a comma or semicolon" in problems.remarks[0]


def test_a_later_line_of_several_labels_is_no_class_of_its_own(tmp_path: Path) -> None:
    content = "__label__a x\n" * 150 + "__label__a __label__b y\nwithout\n"
    rows = rows_of(tmp_path, content, "train.ft")
    assert [row["label"] for row in rows[149:]] == ["a", ["a", "b"], ""]
