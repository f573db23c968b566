"""Whether a first row names columns or is data; what was assumed is said, and an option settles it."""

from __future__ import annotations

from pathlib import Path

import pytest

from albert.data.examples import Columns, guess_columns
from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind

LABELS = ("pos", "neg")


def table(tmp_path: Path, first: str, row: str, *, rows: int = 39, name: str = "a.csv", **options: object) -> Table:
    """A file of a first row and others like `row`, whose {n} counts them and whose {label} alternates."""
    lines = [row.format(n=n, label=LABELS[n % 2], half=n % 2) for n in range(rows)]
    (tmp_path / name).write_text("".join(f"{line}\n" for line in [first, *lines]))
    return Table(tmp_path / name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "row", "columns", "text", "label"),
    [
        ("text,label,2019", '"great {n}",{label},10{n:02}', ("text", "label", "2019"), "text", "label"),
        ("Kommentar,Wertung,2019", "gut {n},{label},1{n}", ("Kommentar", "Wertung", "2019"), "Kommentar", "Wertung"),
        ("v1,v2,,,", '{label},"Go until, {n}",,,', ("v1", "v2", "3", "4", "5"), "v2", "v1"),
        ("text,label,", "great {n},{label},", ("text", "label", "3"), "text", "label"),
        ("text,label,", "great {n},{label}", ("text", "label", "3"), "text", "label"),
        ("text,label", "great {n},{label},", ("text", "label"), "text", "label"),
        ("0,1", "a film {n},{label}", ("0", "1"), "0", "1"),  # pandas
        ("0,1", "a film {n},{half}", ("0", "1"), "0", "1"),
        (",0,1", "{n},a film {n},{label}", ("index", "0", "1"), "0", "1"),
        ("1,2", "a film {n},{label}", ("1", "2"), "1", "2"),
        ('"","text","label"', '"{n}","a film {n}","{label}"', ("index", "text", "label"), "text", "label"),  # R
        ('"x","y"', '"{n}","a film {n}","{label}"', ("index", "x", "y"), "x", "y"),  # R's write.table
        ("Unnamed: 0,Reply,Mood", "{n},a film {n},{label}", ("Unnamed: 0", "Reply", "Mood"), "Reply", "Mood"),
        (
            'Timestamp,"How content are you with our service, taking all of it together?",Why?',
            "2023/01/01 10:{n:02},{label},since it was {n} times fine",
            ("Timestamp", "How content are you with our service, taking all of it together?", "Why?"),
            "Why?",
            "How content are you with our service, taking all of it together?",
        ),
        ("Your opinion;Stars out of five", "it is number {n};{half}", ("Your opinion", "Stars out of five"),
         "Your opinion", "Stars out of five"),
    ],
)  # fmt: skip
def test_a_header_is_kept_whatever_its_cells(
    tmp_path: Path, first: str, row: str, columns: tuple[str, ...], text: str, label: str
) -> None:
    found = table(tmp_path, first, row)
    assert found.columns == columns
    assert len(list(found)) == 39
    assert guess_columns(found) == Columns(text, None, label)


@pytest.mark.parametrize(
    ("first", "row"),
    [
        ("title,pos", "film {n},{label}"),
        ("Review,neg", "Film {n},{label}"),
        ("pos;Question", "{label};Answer {n}"),
        ("the lamp of letter x is not so good,neutral", "the lamp of number {n} is not so good,{label}"),
        ("1,Title here,Long text", "{half},Other {n},Text is {n}"),
        ("a film,pos", "{label} film,{label}"),
        ("a film,?", "film {n},{half}"),
        ("Titanic,A ship sinks.", "Alien {n},A film about {n} visitors."),
    ],
)
def test_a_first_row_of_data_is_kept_and_said(tmp_path: Path, first: str, row: str) -> None:
    found = table(tmp_path, first, row)
    rows = list(found)
    assert len(rows) == 40
    assert list(rows[0].values.values()) == first.replace(";", ",").split(",")
    assert ["--header takes the first row as names" in remark for remark in found.remarks] == [True]


@pytest.mark.parametrize("row", [",label", "text,pos", "a text,label\nlabel,text"])
def test_names_of_texts_and_labels_stay_names_where_a_cell_says_the_same(tmp_path: Path, row: str) -> None:
    (tmp_path / "a.csv").write_text(f"text,label\n{row}\n")
    assert Table(tmp_path / "a.csv").columns == ("text", "label")


def test_a_first_row_of_a_known_name_and_a_label_is_data(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Date,question\nName,question\nAnna,answer\n")
    assert Table(tmp_path / "a.csv").columns == ("1", "2")


@pytest.mark.parametrize(
    ("first", "row", "sure"),
    [
        ("text,label", "a {n},{label}", True),
        ("sentence1\tsentence2\tscore", "a {n}\tb {n}\t{half}", True),
        ("v1,v2", "{label},Go until {n}", False),
        ("title,mood", "film {n},{label}", False),
    ],
)
def test_a_header_that_could_be_data_is_said(tmp_path: Path, first: str, row: str, sure: bool) -> None:
    found = table(tmp_path, first, row, name="a.tsv" if "\t" in first else "a.csv")
    assert len(list(found)) == 39
    assert ["--no-header reads it as data" in remark for remark in found.remarks] == [True] * (not sure)


@pytest.mark.parametrize("first", ["text,label", "v1,v2", "title,pos", "0,1"])
def test_the_option_settles_it_without_a_word(tmp_path: Path, first: str) -> None:
    named = table(tmp_path, first, "film {n},{label}", header=True)
    assert (named.columns, len(list(named)), named.remarks) == (tuple(first.split(",")), 39, ())
    data = table(tmp_path, first, "film {n},{label}", header=False)
    assert (data.columns, len(list(data)), data.remarks) == (("1", "2"), 40, ())


def test_names_that_are_asked_for_make_a_header(tmp_path: Path) -> None:
    assert table(tmp_path, "Alpha 1,Beta", "film {n},b {n}").columns == ("1", "2")
    found = table(tmp_path, "Alpha 1,Beta", "film {n},b {n}", wanted=("Beta",))
    assert (found.columns, found.remarks) == (("Alpha 1", "Beta"), ())


def test_columns_that_are_asked_for_by_number_have_no_names(tmp_path: Path) -> None:
    assert table(tmp_path, "v1,v2", "{label},film {n}", wanted=("1", "2")).columns == ("1", "2")
    assert table(tmp_path, "0,1", "film {n},{label}", wanted=("0", "1")).columns == ("0", "1")
    assert table(tmp_path, "text,label", "film {n},{label}", wanted=("1", "2")).columns == ("text", "label")


def test_a_first_row_that_comes_again_is_data_unless_it_is_of_names(tmp_path: Path) -> None:
    assert table(tmp_path, "one text,good", "one text,good").columns == ("1", "2")
    (tmp_path / "a.csv").write_text("text,label\na,x\nb,y\n" * 2)
    assert Table(tmp_path / "a.csv").columns == ("text", "label")


@pytest.mark.parametrize(
    ("line", "separator"), [("sep=;", ";"), ('"sep=|"', "|"), ("sep=,", ","), ("sep=\t", "\t"), ("sep=;;", ";")]
)
def test_excels_line_of_the_separator_is_no_row(tmp_path: Path, line: str, separator: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'{line}\r\ntext{separator}label\r\n"a; b, c|d"{separator}x\r\n', newline="")
    assert [(row.number, row.values) for row in Table(path)] == [(3, {"text": "a; b, c|d", "label": "x"})]


@pytest.mark.parametrize("content", ["title\n", "Titanic,title\n"])
def test_one_row_that_may_be_either_is_asked_for(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(AlbertError, match="--no-header reads it as data, --header as names") as caught:
        Table(path)
    assert caught.value.kind is ErrorKind.DATA
    assert len(list(Table(path, header=False))) == 1
    assert list(Table(path, header=True)) == []


@pytest.mark.parametrize(
    "content", ["title\n", "title\nAlien\n", "title, what a film\nboring, too long\n", "question, what is it\n"]
)
def test_lines_without_a_name_of_the_file_are_all_texts(tmp_path: Path, content: str) -> None:
    (tmp_path / "stream").write_text(content)
    assert [row.values for row in Table(tmp_path / "stream")] == [{"text": line} for line in content.splitlines()]


def test_a_stream_may_begin_with_the_column_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "stream").write_text("body\nAlien, the film\nTitanic\n")
    found = Table(tmp_path / "stream", wanted=("body",))
    assert [row.values for row in found] == [{"body": "Alien, the film"}, {"body": "Titanic"}]
    assert "--no-header" in found.remarks[0]
    assert len(list(Table(tmp_path / "stream", wanted=("body",), header=False))) == 3


@pytest.mark.parametrize(
    ("content", "option"), [("text\tlabel\na\tx\nb\ty\n", "--format tsv"), ("text,label\na,x\nb,y\n", "--format csv")]
)
def test_a_table_that_is_called_txt_gets_a_hint(tmp_path: Path, content: str, option: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    found = Table(tmp_path / "a.txt")
    assert option in found.remarks[0]
    with pytest.raises(AlbertError, match=option):
        guess_columns(found)
    assert Table(tmp_path / "a.txt", format=option[-3:]).columns == ("text", "label")


@pytest.mark.parametrize("content", ["sep=;\n", '"a\n', "sep=,\n\n"])
def test_a_table_without_a_row_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(AlbertError, match=r"an empty file|bad quoting") as caught:
        Table(tmp_path / "a.csv")
    assert caught.value.kind is ErrorKind.DATA


def test_equal_names_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match=r"distinct column names.*--no-header"):
        table(tmp_path, "text,label,text", "a {n},{label},b")


@pytest.mark.parametrize("name", ["a.jsonl", "a.conll"])
def test_a_format_without_headers_refuses_the_option(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"text": "x"}\n')
    with pytest.raises(AlbertError, match=r"--header and --no-header: expected a file in format csv") as caught:
        Table(tmp_path / name, header=True)
    assert caught.value.kind is ErrorKind.USAGE


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", b"text,label\ra,b\rc,d\r", [{"text": "a", "label": "b"}, {"text": "c", "label": "d"}]),
        ("a.txt", b"great\rbad", [{"text": "great"}, {"text": "bad"}]),
        ("a.jsonl", b'\xef\xbb\xbf{"text": "a"}\r{"text": "b"}\r', [{"text": "a"}, {"text": "b"}]),
        ("a.csv", b'text,label\n"a\rb",pos\n', [{"text": "a\rb", "label": "pos"}]),
    ],
)  # fmt: skip
def test_carriage_returns_end_lines_where_nothing_else_does(
    tmp_path: Path, name: str, content: bytes, rows: list[dict[str, str]]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert [row.values for row in Table(tmp_path / name)] == rows
