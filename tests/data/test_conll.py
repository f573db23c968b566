"""Which columns of a CoNLL file hold words and tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from albert.data.tables import Table
from albert.errors import AlbertError, ErrorKind

GERMEVAL = (
    "#\thttp://de.wikipedia.org/wiki/X [2009-10-17]\n"
    "1\tSchartau\tB-PER\tO\n2\tsagte\tO\tO\n3\tin\tO\tO\n4\tBerlin\tB-LOC\tO\n\n"
    "1\tFC\tB-ORG\tO\n2\tKoeln\tI-ORG\tB-LOC\n3\tgewann\tO\tO\n"
)
Found = list[tuple[str, list[list[object]]]]


def read(path: Path, content: str, **options: int) -> tuple[Found, tuple[str, ...]]:
    path.write_text(content)
    table = Table(path, **options)  # type: ignore[arg-type]
    return [(row.values["text"], row.values["spans"]) for row in table], table.remarks


@pytest.mark.parametrize("name", ["a.tsv", "a.conll", "a"])
def test_counted_words_with_nested_tags(tmp_path: Path, name: str) -> None:
    found, remarks = read(tmp_path / name, GERMEVAL)
    assert found == [
        ("Schartau sagte in Berlin", [[0, 8, "PER"], [18, 24, "LOC"]]),
        ("FC Koeln gewann", [[0, 8, "ORG"]]),
    ]
    assert "tags are in column 3, nested ones in 4 are not read; --tag-column" in remarks[0]
    assert "words are in column 2; --word-column" in remarks[0]
    found, _ = read(tmp_path / name, GERMEVAL, tag_column=4, word_column=2)
    assert [spans for _, spans in found] == [[], [[3, 8, "LOC"]]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\ncame VBD B-VP O\n", None),  # CoNLL-2003
        ("EU eu NE I-NC I-ORG\nrejects r VV I-VC O\n\nPeter p NE I-NC I-PER\ncame c VV I-VC O\n", None),  # German
        ("EU B-ORG\nrejects O\n\nPeter B-PER\ncame O\n", None),
        ("-DOCSTART-\n\nEU B-ORG\nrejects O\n\nPeter B-PER\ncame O\n", None),
        ("7 EU B-ORG\n8 rejects O\n\n9 Peter B-PER\n10 came O\n", "words are in column 2"),
        ("d1 0 EU NNP B-ORG\nd1 1 rejects VBZ O\n\nd2 0 Peter NNP B-PER\nd2 1 came VBD O\n", "words are in column 3"),
        ("B-ORG EU\nO rejects\n\nB-PER Peter\nO came\n", "tags are in column 1"),
        ("EU B-ORG 0.9\nrejects O 0.8\n\nPeter B-PER 0.7\ncame O 0.9\n", "tags are in column 2"),
        ("NN EU B-ORG\nVB rejects O\n\nNN Peter B-PER\nVB came O\n", "words are in column 2"),
    ],
)
def test_columns_are_recognised(tmp_path: Path, content: str, said: str | None) -> None:
    for name in ("a.txt", "a.conll"):
        found, remarks = read(tmp_path / name, content)
        assert found == [("EU rejects", [[0, 2, "ORG"]]), ("Peter came", [[0, 5, "PER"]])]
        assert [said is not None and said in remark for remark in remarks] == [True] * (said is not None)


def test_columns_that_cover_most_words_are_phrases(tmp_path: Path) -> None:
    rows = [
        f"w{n} {'B-X' if n % 5 else 'O'} {'B-PER' if n % 5 == 1 else 'O'}\n" + "\n" * (n % 5 == 4) for n in range(60)
    ]
    found, _ = read(tmp_path / "a.conll", "".join(rows))
    assert {label for _, spans in found for _, _, label in spans} == {"PER"}


def test_two_columns_of_other_tags_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="columns 2, 3"):  # nothing says that the one is the outer of the other
        read(tmp_path / "a.conll", "EU\tB-ORG\tB-SUBJ\nrejects\tO\tO\n\nPeter\tB-PER\tO\n")
    content = "EU\tB-ORG\tO\nrejects\tO\tB-ACT\n\nPeter\tB-PER\tO\n"
    with pytest.raises(AlbertError, match=r"columns 2, 3.*--tag-column NUMBER") as caught:
        read(tmp_path / "a.conll", content)
    assert caught.value.kind is ErrorKind.DATA
    found, remarks = read(tmp_path / "a.conll", content, tag_column=3)
    assert (found, remarks) == ([("EU rejects", [[3, 10, "ACT"]]), ("Peter", [])], ())


@pytest.mark.parametrize("options", [{"word_column": 9}, {"tag_column": 0}, {"word_column": 2, "tag_column": 2}])
def test_columns_that_cannot_be_are_refused(tmp_path: Path, options: dict[str, int]) -> None:
    with pytest.raises(AlbertError, match=r"--(word|tag)-column") as caught:
        read(tmp_path / "a.conll", GERMEVAL, **options)
    assert caught.value.kind is ErrorKind.USAGE


def test_other_formats_have_no_columns_of_words(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,x\n")
    with pytest.raises(AlbertError, match="--word-column and --tag-column: expected a file in format conll"):
        Table(tmp_path / "a.csv", word_column=1)
