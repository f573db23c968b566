"""The parts of the audit over examples: near-duplicates against brute force, hostile characters, rules by the label."""

from __future__ import annotations

import random
import resource
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.audit.duplicates import duplicate_findings
from albert.audit.entities import span_findings
from albert.audit.findings import KEPT, Finding, Place, Severity, found
from albert.audit.labels import label_findings, number_findings
from albert.audit.learned import learned_findings
from albert.audit.similarity import THRESHOLD, near_duplicates
from albert.audit.texts import PieceCounts, piece_findings, text_findings
from albert.data.examples import Example
from albert.data.spans import Span
from albert.tasks.qa import Answer
from albert.text.tokenizer import AlbertTokenizer


def examples(*rows: tuple[object, ...], file: str = "a.csv") -> list[Example]:
    """(text, gold) or (text, pair, gold) at lines 2, 3, …"""
    return [
        Example(str(row[0]), str(row[1]) if len(row) > 2 else None, row[-1], source=f"{file}:{line}")
        for line, row in enumerate(rows, 2)
    ]


def lines(findings: list[Finding]) -> dict[str, list[int]]:
    return {finding.kind: [place.line for place in finding.places] for finding in findings}


def prose(rng: random.Random, words: int) -> str:
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(words))


# --- near-duplicates -------------------------------------------------------------------------------------


def jaccard(first: str, second: str) -> float:
    a, b = ({f" {text} "[i : i + 5] for i in range(max(len(text) - 2, 1))} for text in (first, second))
    return len(a & b) / len(a | b)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["delete", "insert", "replace"]))
def test_an_edited_copy_is_found(seed: int, place: int, edit: str) -> None:
    rng = random.Random(seed)
    texts = [prose(rng, 20) for _ in range(30)]
    original = rng.randrange(30)
    at = place % len(texts[original])
    rest = texts[original][at + (edit != "insert") :]
    texts.append(texts[original][:at] + ("" if edit == "delete" else "#") + rest)
    [match] = near_duplicates(texts, np.zeros(31, int))
    assert (match.later, match.earlier) == (30, original)
    assert match.jaccard == pytest.approx(jaccard(texts[30], texts[original]))


def test_near_duplicates_are_those_of_brute_force() -> None:
    rng = random.Random(0)
    texts = [prose(rng, 12) for _ in range(150)]
    for text in texts[:100]:
        words = text.split()
        words[rng.randrange(12)] = prose(rng, 1)
        texts.append(" ".join(words))
    rng.shuffle(texts)
    wanted = {
        later
        for later in range(len(texts))
        if any(jaccard(texts[later], texts[earlier]) >= THRESHOLD for earlier in range(later))
    }
    assert 20 < len(wanted) < 95  # some of the edits go too far
    assert {match.later for match in near_duplicates(texts, np.zeros(len(texts), int))} == wanted


def test_each_group_gives_its_likest_text() -> None:
    base = prose(random.Random(1), 20)
    texts = [base + " abcdefghi", base + " x", base, base + " y"]
    matches = near_duplicates(texts, np.asarray([0, 0, 1, 2]))
    assert {(m.later, m.earlier) for m in matches} == {(1, 0), (2, 1), (3, 1), (3, 2)}


def test_short_and_empty_texts_have_no_near_duplicates() -> None:
    assert near_duplicates([], np.zeros(0, int)) == []
    assert near_duplicates(["", "a", "b", "ab", "abc", "abd"], np.zeros(6, int)) == []


def test_thousands_of_almost_equal_texts_take_linear_time() -> None:
    template = prose(random.Random(2), 25)
    texts = [f"{template} {number}" for number in range(4000)]
    begin = time.process_time()
    assert len(near_duplicates(texts, np.zeros(4000, int))) == 3999
    assert time.process_time() - begin < 20


# --- equal texts -----------------------------------------------------------------------------------------


def test_equal_texts_within_and_across_files() -> None:
    train = examples(("One text", "a"), ("one  TEXT", "a"), ("öne text", "b"), file="train.csv")
    test = examples(("other", "b"), ("one text", "a"), file="test.csv")
    findings = duplicate_findings({"train": train, "test": test})
    assert lines(findings) == {"conflicting-labels": [4], "leakage": [3], "duplicates": [3]}
    severities = {finding.kind: finding.severity for finding in findings}
    assert severities["leakage"] is severities["conflicting-labels"] is Severity.ERROR
    assert severities["duplicates"] is Severity.WARNING
    [leak] = [finding for finding in findings if finding.kind == "leakage"]
    assert leak.places == (Place("test.csv", 3, "'one text', as train.csv:2"),)


def test_a_pair_is_equal_when_both_texts_are() -> None:
    pairs = examples(("a b", "c", "yes"), ("a", "b c", "yes"), ("a b", "c", "yes"))
    assert lines(duplicate_findings({"train": pairs})) == {"duplicates": [4]}


def test_spans_conflict_by_their_words() -> None:
    rows = [("Ada in Rome", (Span(0, 3, "P"),)), ("ada  in rome", (Span(0, 3, "P"),)), ("Ada in Rome", ())]
    assert lines(duplicate_findings({"train": examples(*rows)})) == {"duplicates": [3], "conflicting-labels": [4]}


def test_a_question_may_have_several_right_answers_but_not_some_and_none() -> None:
    one, other = (Answer(0, "here"),), (Answer(3, "there"),)
    rows = [("where", "it is here", one), ("where", "it is here", other), ("where", "it is here", ())]
    findings = duplicate_findings({"train": examples(*rows)})
    assert lines(findings) == {"duplicates": [3], "conflicting-labels": [4]}


# --- labels ----------------------------------------------------------------------------------------------


def test_labels_of_other_files_and_other_spellings() -> None:
    train = examples(*[(f"t{i}", "Sci Tech") for i in range(10)], *[(f"u{i}", "sci_tech") for i in range(10)])
    dev = examples(("v", "sci tech"), file="dev.csv")
    findings = label_findings({"train": train, "dev": dev})
    assert lines(findings) == {"unknown-labels": [2], "label-spellings": [2, 12, 2]}
    assert "did you mean" in findings[0].places[0].detail


@pytest.mark.parametrize(("rare", "kinds"), [(20, set()), (19, {"imbalance"}), (9, {"imbalance", "rare-labels"})])
def test_imbalance_begins_past_five_to_one(rare: int, kinds: set[str]) -> None:
    train = examples(*[(f"t{i}", "a") for i in range(100)], *[(f"u{i}", "b") for i in range(rare)])
    assert set(lines(label_findings({"train": train}))) == kinds


def test_numbers_have_no_label_findings() -> None:
    ratings = examples(*[(f"t{i}", float(i % 5)) for i in range(50)], ("far", 70.0))
    assert label_findings({"train": ratings}) == []
    assert lines(number_findings(ratings)) == {"far-labels": [52]}
    assert number_findings(examples(*[(f"t{i}", 3.0) for i in range(50)])) == []


# --- texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("caf\u00c3\u00a9", "mojibake"),
        ("it\u00e2\u20ac\u2122s", "mojibake"),
        ("he said \u00e2\u20ac\x9d", "mojibake"),
        ("lost \ufffd", "mojibake"),
        ("in\u200bvisible", "hidden-characters"),
        ("right \u202eto left", "bidi-controls"),
        ("mark\u200e of direction", "bidi-controls"),
        ("a pаypal account", "lookalikes"),
        ("the moviе was fine", "lookalikes"),
        ("zalgo" + "\u0301" * 31, "mark-floods"),
        ("a\u200db", "hidden-characters"),
        ("tag\U000e0041", "hidden-characters"),
        ("bell\x07", "control-characters"),
        ("fish &amp; chips", "markup"),
        ("one<br/>two", "markup"),
        ('<a href="x">link</a>', "markup"),
        ("…!", "no-words"),
        ("Spam", "label-as-text"),
    ],
)
def test_suspicious_texts(text: str, kind: str) -> None:
    assert kind in lines(text_findings(examples(("fine", "spam"), (text, "spam"))))


@pytest.mark.parametrize(
    "text",
    ["naïve café – “quoted” €5 ÄÖÜß", "São João, NÃO", "Привет, мир", "你好", "می\u200cخواهم", "👩\u200d💻 work",
     "x < y > z & so", "a\ttab\nand line", "\U0001f3f4\U000e0067\U000e0062\U000e007f flag", "R&D; done", "<3 you",
     "SMSки, СССР и PDF", "10 µm, 4 kΩ, ΔT, TNFα", "Tシャツ", "❤️ 1️⃣", "cafe" + "\u0301" * 30],
)  # fmt: skip
def test_honest_texts(text: str) -> None:
    assert text_findings(examples((text, "label"))) == []


def test_a_lookalike_is_named_at_its_line() -> None:
    rows = examples(("all is well", "spam"), ("a pаypal account", "spam"))
    finding = next(one for one in text_findings(rows) if one.kind == "lookalikes")
    assert [str(place) for place in finding.places] == [rows[1].source]
    assert "'pаypal' with U+0430 CYRILLIC SMALL LETTER A" in finding.places[0].detail


def test_pieces_are_counted_as_the_model_reads_them(tokenizer: AlbertTokenizer) -> None:
    rows = examples(("one two", "three", 1.0), ("word " * 200, "x", 1.0), ("ကျွန်ုပ် သည်", "ဆိုင်", 1.0))
    counts = PieceCounts.of(rows, tokenizer)
    wanted = [len(tokenizer(row.text, row.text_pair, max_length=10_000)) for row in rows]
    assert counts.lengths.tolist() == wanted
    assert sum(count for _, count in counts.histogram()) == 3
    assert all(bound >= length for length, (bound, _) in zip(sorted(wanted)[-1:], counts.histogram()[-1:], strict=True))
    assert counts.percentiles()["longest"] == max(wanted)
    assert lines(piece_findings(rows, counts, max_length=128)) == {"long-texts": [3], "unknown-pieces": [4]}


# --- entities and words ----------------------------------------------------------------------------------


def test_a_form_that_is_mostly_tagged_otherwise() -> None:
    rows = [(f"{i} Rome", (Span(2, 6, "place"),)) for i in range(8)]
    rows += [("8 Rome", (Span(2, 6, "person"),)), ("9 Rome", ()), ("0 Romes", ())]
    assert lines(span_findings(examples(*rows))) == {"unlike-entities": [10], "missed-entities": [11]}


def test_a_form_with_many_meanings_is_left_alone() -> None:
    rows = [(f"{i} May", (Span(2, 5, "month"),) if i % 2 else ()) for i in range(10)]
    assert span_findings(examples(*rows)) == []


def test_a_word_that_gives_the_label_away() -> None:
    rng = random.Random(0)
    rows = [(prose(rng, 6) + (" id77" if i % 2 else ""), "b" if i % 2 else "a") for i in range(60)]
    [finding] = [f for f in learned_findings(examples(*rows)) if f.kind == "telling-words"]
    assert finding.places == (Place("a.csv", 3, "'id77' occurs in 100% of the rows of 'b' and in no other rows"),)


def test_a_model_that_knows_nothing_doubts_nothing() -> None:
    rng = random.Random(0)
    assert learned_findings(examples(*[(prose(rng, 6), rng.choice("ab")) for _ in range(80)])) == []
    assert learned_findings(examples(*[(prose(rng, 6), rng.random()) for _ in range(80)])) == []


@pytest.mark.parametrize("texts", [1, 2, 3])
def test_labels_with_few_different_texts(texts: int) -> None:
    for gold in ("ab", (1.0, 2.0)):
        rows = examples(*[(f"the text {i % texts}", gold[i % texts % 2]) for i in range(60)])
        assert "doubtful-labels" not in lines(learned_findings(rows))


def test_all_places_are_counted_and_the_first_kept() -> None:
    [finding] = found("kind", Severity.NOTE, "what", [Place("f", line) for line in range(500)])
    assert (finding.count, len(finding.places)) == (500, KEPT)


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_a_minute(tokenizer: AlbertTokenizer) -> None:
    rng = random.Random(0)
    vocabulary = prose(rng, 5000).split()
    rows = [(" ".join(rng.choices(vocabulary, k=15)) + " ab"[i % 2], "ab"[i % 2]) for i in range(100_000)]
    rows[70_000] = (rows[3][0] + "!", rows[3][1])
    train = examples(*rows)
    begin, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    findings = [
        *label_findings({"train": train}),
        *duplicate_findings({"train": train}),
        *text_findings(train),
        *piece_findings(train, PieceCounts.of(train, tokenizer), max_length=128),
        *learned_findings(train),
    ]
    assert time.process_time() - begin < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # KiB
    assert lines(findings)["near-duplicates"] == [70_002]
