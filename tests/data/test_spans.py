"""Spans, tags in every scheme, CoNLL and span files."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from albert.data.examples import Example
from albert.data.sources import Problems
from albert.data.spans import Interval, Span, chunks, look_like_spans, parse_spans, spans_over, tags_over
from albert.data.tables import Row, Table
from albert.errors import AlbertError, ErrorKind
from albert.tasks import guess_task
from albert.text.words import words

TYPES = st.sampled_from(["PER", "LOC", "creative-work"])
TAGS = st.one_of(st.just("O"), st.builds("{}-{}".format, st.sampled_from("BIES"), TYPES))
Chunk = tuple[int, str | None]  # length and type, None for words outside


def written(sentence: list[Chunk], scheme: str) -> list[str]:
    """The tags of these chunks in IOB1, IOB2, BIOES or BILOU."""
    first, inner, last, single = {
        "IOB1": "IIII", "IOB2": "BIIB", "BIOES": "BIES", "BILOU": "BILU"
    }[scheme]  # fmt: skip
    tags: list[str] = []
    before: str | None = None
    for length, kind in sentence:
        if kind is None:
            tags += ["O"] * length
        else:
            letters = [single] if length == 1 else [first, *inner * (length - 2), last]
            if scheme == "IOB1" and kind == before:
                letters[0] = "B"
            tags += [f"{letter}-{kind}" for letter in letters]
        before = kind
    return tags


CHUNKS = st.lists(st.tuples(st.integers(1, 4), st.one_of(st.none(), TYPES)), max_size=8)


@given(CHUNKS)
def test_every_scheme_says_the_same(sentence: list[Chunk]) -> None:
    at, expected = 0, []
    for length, kind in sentence:
        if kind is not None:
            expected.append((at, at + length, kind))
        at += length
    for scheme in ("IOB1", "IOB2", "BIOES", "BILOU"):
        assert chunks(written(sentence, scheme)) == expected, scheme


@given(st.lists(TAGS, max_size=12))
def test_any_tags_are_read_as_conlleval_reads_them(tags: list[str]) -> None:
    assert chunks(tags) == [(first, last + 1, kind) for kind, first, last in get_entities(tags)]


@given(st.text(st.sampled_from("ab1éßḋ 北,.-\u0301\ufeff\t\u00a0"), max_size=40))
def test_words_hold_every_character_but_white_space_once(text: str) -> None:
    found = words(text)
    assert all(0 <= start < end <= len(text) for start, end in found)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))
    inside = {i for start, end in found for i in range(start, end)}
    assert all(text[i].isspace() for i in set(range(len(text))) - inside)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm in Berlin.", ["I", "'", "m", "in", "Berlin", "."]),
        ("Coca-Cola, U.S.", ["Coca-Cola", ",", "U.S", "."]),
        ("(Rome's) http://t.co/a?", ["(", "Rome", "'", "s", ")", "http://t.co/a", "?"]),
        ("cafe\u0301 हिन्दी", ["cafe\u0301", "हिन्दी"]),
        ("我在北京 ok", ["我", "在", "北", "京", "ok"]),
        ("", []),
    ],
)
def test_words_of_running_text(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in words(text)] == expected


@given(st.data())
def test_spans_to_tags_to_spans(data: st.DataObject) -> None:
    """Spans over whole words survive; two that touch stay two."""
    text = data.draw(st.text(st.sampled_from("abc, ."), max_size=40))
    at = words(text)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(at)), max_size=8)))
    spans = [
        Span(at[a][0], at[b - 1][1], data.draw(TYPES)) for a, b in itertools.pairwise(cuts) if data.draw(st.booleans())
    ]
    tags, misfits = tags_over(spans, at)
    assert misfits == []
    assert spans_over(tags, at) == spans


def test_a_span_inside_a_word_is_widened_and_told() -> None:
    at = words("the Berliners left")
    tags, misfits = tags_over([Span(4, 10, "LOC")], at)
    assert misfits == [Span(4, 10, "LOC")]
    assert spans_over(tags, at) == [Span(4, 13, "LOC")]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", "list of spans"),
        ([[0, 4]], "expected [start, end, label]"),
        ([[0, 4, ""]], "expected [start, end, label]"),
        ([[True, 4, "A"]], "expected [start, end, label]"),
        ([{"start": 0, "label": "A"}], "expected [start, end, label]"),
        ([[3, 3, "A"]], "0 <= start < end"),
        ([[-1, 3, "A"]], "0 <= start < end"),
        ([[0, 9, "A"]], "text of 8 characters"),
        ([[0, 4, "A"], [3, 6, "B"]], "overlap"),
    ],
)
def test_bad_spans_are_refused(value: object, words: str) -> None:
    with pytest.raises(ValueError, match="label") as caught:
        parse_spans(value, "a text !")
    assert words in str(caught.value)


def test_doccano_and_prodigy_spans_are_the_same() -> None:
    expected = (Span(0, 1, "A"), Span(2, 6, "B"))
    assert parse_spans([[2, 6, "B"], [0, 1, "A"]], "a text") == expected
    prodigy = [{"start": 0, "end": 1, "label": "A", "token_start": 0}, {"start": 2, "end": 6, "label": "B"}]
    assert parse_spans(prodigy, "a text") == expected
    assert parse_spans([{"start_offset": 2, "end_offset": 6, "label": "B", "id": 7}]) == expected[1:]


@pytest.mark.parametrize(
    ("text", "written", "expected"),
    [
        ("Maria lives", [[0, 6, "PER"]], (0, 5)),
        ("in  Rome", [[2, 8, "LOC"]], (4, 8)),
        ("to\tOslo\n", [[2, 8, "LOC"]], (3, 7)),
        ("via\u00a0York\u2003.", [[3, 9, "LOC"]], (4, 8)),
    ],
)
def test_white_space_at_the_ends_of_a_span_is_left_out_and_counted(
    text: str, written: list[Any], expected: Interval
) -> None:
    spans = parse_spans(written, text)
    assert spans == (Span(*expected, written[0][2]),)
    assert (spans.trimmed, spans.repeated) == (1, 0)
    assert tags_over(spans, words(text))[1] == []


def test_a_span_that_is_there_twice_counts_once() -> None:
    spans = parse_spans([[0, 5, "PER"], [0, 6, "PER"], [6, 11, "X"]], "Maria lives")
    assert spans == (Span(0, 5, "PER"), Span(6, 11, "X"))
    assert (spans.trimmed, spans.repeated) == (1, 1)
    with pytest.raises(ValueError, match="overlap"):
        parse_spans([[0, 5, "PER"], [0, 5, "ORG"]], "Maria lives")


def test_a_span_of_white_space_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"span \[5, 6\] holds white space alone"):
        parse_spans([[5, 6, "PER"]], "Maria lives")


@pytest.mark.parametrize(
    "value",
    ['[[0, 5, "PER"]]', ' [{"start": 0, "end": 5, "label": "PER"}]',
     [{"start": 0, "end": 5, "text": "Maria", "labels": ["PER"]}]],
)  # fmt: skip
def test_cells_of_json_and_label_studio_are_spans(value: Any) -> None:
    assert parse_spans(value, "Maria lives") == (Span(0, 5, "PER"),)


@pytest.mark.parametrize(
    "value",
    [[[0, 5, "PER", "Maria"]], [[7, 0, 5, "PER"]], [["PER", 0, 5]], [[0, 5, "A"], [0, 5, "B"]],
     [{"start": 0, "end": 5}], "[[0, 99, \"PER\"]]"],
)  # fmt: skip
def test_what_is_meant_as_spans_is_refused_as_spans(tmp_path: Path, value: Any) -> None:
    """Not as a label that is a list: the task is guessed by what the values are meant to be."""
    assert guess_task([value, []]).name == "ner"
    with pytest.raises(ValueError, match="span"):
        guess_task([value]).parse_gold(value, Example("Maria lives"))


@pytest.mark.parametrize("value", [["a", "b"], [["a"], ["b"]], [0, 1], "a", 3, None])
def test_other_values_are_not_meant_as_spans(value: Any) -> None:
    assert not look_like_spans(value)


# --- CoNLL files -----------------------------------------------------------------------------------------

FOUR = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC
call NN I-NP O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""
TWO = "".join(f"{line.split()[0]}\t{line.split()[-1]}\n" if line else "\t\n" for line in FOUR.splitlines())
EXPECTED = [
    {"text": "EU rejects German call", "spans": [[0, 2, "ORG"], [11, 17, "MISC"]]},
    {"text": "Peter Blackburn", "spans": [[0, 15, "PER"]]},
]


def read(path: Path, content: str | bytes, **options: str) -> tuple[list[Row], Problems]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    problems = Problems(str(path))
    return list(Table(path, **options).rows(problems)), problems


@pytest.mark.parametrize("content", [FOUR, TWO, FOUR.replace("\n", "\r\n"), FOUR.replace(" ", "  ")])
@pytest.mark.parametrize("name", ["a.conll", "a.bio", "a.iob", "a.txt", "a.tsv", "a.annotated", "a"])
def test_conll_files_are_read_under_any_name(tmp_path: Path, content: str, name: str) -> None:
    rows, problems = read(tmp_path / name, content)
    assert [row.values for row in rows] == EXPECTED
    assert rows[0].words == ((0, 2), (3, 10), (11, 17), (18, 22))
    assert [row.number for row in rows] == [3, 8]
    assert (problems.count, problems.remarks) == (0, [])


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)])
def test_conll_files_may_be_compressed(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    rows, _ = read(tmp_path / f"a.conll{suffix}", pack(FOUR.encode()))
    assert [row.values for row in rows] == EXPECTED


def test_comments_are_no_words_and_hashes_are(tmp_path: Path) -> None:
    rows, _ = read(tmp_path / "a.conll", "# id 7 domain=en\n#\tO\n#Obama\tB-PER\n")
    assert rows[0].values == {"text": "# #Obama", "spans": [[2, 8, "PER"]]}


@pytest.mark.parametrize("content", ["one two\nthree four\n", "a B-side\nof a record\n", "O\nO\n", "x\t1\ny\t2\n"])
def test_other_texts_are_not_taken_for_conll(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    assert Table(tmp_path / "a.txt").layout.format == "lines"


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        ("EU B-ORG\nrejects\n", 2, "ragged row: expected 2 columns"),
        ("EU B-ORG\nrejects VBZ O\n", 2, "ragged row: expected 2 columns"),
        ("EU\nrejects\n", 1, "ragged row: expected 2 columns"),
        ("EU B-ORG\n\nrejects X-ORG\n", 3, "tag 'X-ORG': expected O, or B-, I-, E- or S-"),
        ("EU B-\n", 1, "tag 'B-'"),
        ("EU PER\n", 1, "tag 'PER'"),
        ("EU\tO\n\tO\n", 2, "no word"),
    ],
)
def test_bad_conll_lines_are_named(tmp_path: Path, content: str, line: int, said: str) -> None:
    (tmp_path / "a.conll").write_text(content)
    with pytest.raises(AlbertError) as caught:
        list(Table(tmp_path / "a.conll"))
    assert caught.value.kind is ErrorKind.DATA
    assert f"{tmp_path / 'a.conll'}:{line}: {said}" in str(caught.value)


@given(st.lists(CHUNKS.filter(bool), min_size=1, max_size=4), st.sampled_from(["IOB1", "IOB2", "BIOES"]))
def test_well_formed_files_have_no_repairs(
    tmp_path_factory: pytest.TempPathFactory, document: list[list[Chunk]], scheme: str
) -> None:
    lines = "\n\n".join("\n".join(f"w {tag}" for tag in written(sentence, scheme)) for sentence in document)
    rows, problems = read(tmp_path_factory.mktemp("t") / "a.conll", lines)
    assert problems.remarks == []
    assert sum(len(row.values["spans"]) for row in rows) == sum(kind is not None for s in document for _, kind in s)


def test_repairs_are_counted_and_listed(tmp_path: Path) -> None:
    rows, problems = read(tmp_path / "a.conll", "a B-X\nb O\nc I-X\nd I-Y\n\ne I-X\n")
    assert [row.values["spans"] for row in rows] == [[[0, 1, "X"], [4, 5, "X"], [6, 7, "Y"]], [[0, 1, "X"]]]
    assert len(problems.remarks) == 1
    assert "3 entities without a B- at their beginning" in problems.remarks[0]
    assert "lines 3, 4, 6" in problems.remarks[0]


def test_span_files_are_tables(tmp_path: Path) -> None:
    lines = [{"text": "a text", "label": [[0, 1, "A"]]}, {"text": "none", "label": []}]
    rows, _ = read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines)))
    assert [row.values for row in rows] == lines
