"""`albert check` as a person and a build meet it: planted defects at their lines, JSON, exit codes."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import Albert

SYLLABLES = ("ba", "de", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu")
TELLING = {"good": ("lovely", "superb", "delightful"), "bad": ("awful", "dreadful", "horrid"), "refund": ("refund",)}


def sentence(rng: random.Random, label: str, *, words: int = 14) -> str:
    """Made-up words, and three that its label goes with: no two sentences are alike."""
    made = ["".join(rng.choices(SYLLABLES, k=3)) for _ in range(words)]
    return " ".join([*made, *rng.choices(TELLING[label], k=3)])


class Sheet:
    """A CSV in the making, which knows its line numbers."""

    def __init__(self, path: Path, *, columns: tuple[str, ...] = ("text", "label")) -> None:
        self.path = path
        self.lines = [_csv(columns)]

    def add(self, *cells: str) -> int:
        """Appends a row and returns its line."""
        self.lines.append(_csv(cells))
        return len(self.lines)

    def save(self) -> Path:
        self.path.write_text("".join(self.lines), encoding="utf-8", newline="")
        return self.path


def _csv(cells: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def clean(path: Path, *, seed: int, rows: int = 60) -> Sheet:
    sheet, rng = Sheet(path), random.Random(seed)
    for index in range(rows):
        label = "bad" if index % 2 else "good"
        sheet.add(sentence(rng, label), label)
    return sheet


def plant(folder: Path) -> dict[str, tuple[str, int]]:
    """Writes train.csv, dev.csv and test.csv; tells for each planted defect its kind, file and line."""
    train, dev, test = (
        clean(folder / f"{name}.csv", seed=i, rows=80) for i, name in enumerate(("train", "dev", "test"))
    )
    rng = random.Random(9)
    at: dict[str, tuple[str, int]] = {}

    def defect(name: str, sheet: Sheet, text: str, label: str, *more: str) -> None:
        at[name] = (sheet.path.name, sheet.add(text, label, *more))

    fresh = [sentence(rng, "good") for _ in range(20)]
    train.add(fresh[0], "good")
    train.add(fresh[1], "good")
    defect("duplicates", train, f"  {fresh[0].upper()}", "good")
    defect("conflicting-labels", train, fresh[1], "bad")
    defect("near-duplicates", train, fresh[0].replace("b", "d", 1), "good")
    defect("bad-rows: ragged", train, fresh[2], "good", "one cell too many")
    defect("bad-rows: no label", train, fresh[3], " ")
    defect("bad-rows: no text", train, " ", "good")
    defect("label-spellings", train, fresh[4], "Good")
    defect("rare-labels", train, fresh[5], "odd")
    defect("mojibake", train, fresh[6] + " cafÃ©", "good")
    defect("hidden-characters", train, fresh[7].replace("lovely", "lo\u200bvely") + " lo\u200bvely", "good")
    defect("bidi-controls", train, fresh[13] + " \u202eolleh\u202c", "good")
    defect("lookalikes", train, fresh[14] + " pаypal", "good")
    defect("mark-floods", train, fresh[15] + " z" + "\u0301" * 40, "good")
    defect("control-characters", train, fresh[8] + "\x07", "good")
    defect("markup", train, fresh[9] + " &nbsp;", "good")
    defect("no-words", train, "!?", "good")
    defect("label-as-text", train, "Bad", "bad")
    defect("long-texts", train, " ".join([sentence(rng, "good") for _ in range(12)]), "good")
    defect("unknown-pieces", train, "ကျွန်ုပ် သည် ဆိုင် သို့ သွား", "good")
    defect("doubtful-labels", train, sentence(rng, "bad"), "good")
    defect("imbalance", train, sentence(rng, "refund"), "refund")
    at["label-in-text"] = at["imbalance"]
    for _ in range(9):
        train.add(sentence(rng, "refund"), "refund")
    train.add(fresh[10], "good")
    defect("leakage", test, fresh[10], "good")
    defect("near-leakage", dev, fresh[10] + "!", "good")
    defect("unknown-labels", dev, fresh[11], "godo")
    defect("bad-rows: in dev", dev, fresh[12], "")
    for sheet in (train, dev, test):
        sheet.save()
    return at


def test_every_planted_defect_is_found_at_its_line(albert: Albert, tmp_path: Path) -> None:
    planted = plant(tmp_path)
    files = (tmp_path / "train.csv", "--dev", tmp_path / "dev.csv", "--test", tmp_path / "test.csv")
    done = albert("check", *files, "--json")
    assert done.returncode == 65
    found = {
        (finding["kind"], Path(place["file"]).name, place["line"])
        for finding in report(done)["findings"]
        for place in finding["places"]
    }
    wanted = {(name.partition(":")[0], *place) for name, place in planted.items()}
    assert len({kind for kind, _, _ in wanted}) >= 20
    assert wanted - found == set()
    # and nothing in the rows without a defect, but for the first rows that stand for a label
    touched = {(file, line) for _, file, line in wanted}
    strays = {(kind, file, line) for kind, file, line in found if (file, line) not in touched}
    assert {kind for kind, _, _ in strays} <= {"label-spellings", "imbalance", "rare-labels", "telling-words"}, strays


def test_what_is_said_of_a_defect(albert: Albert, tmp_path: Path) -> None:
    planted = plant(tmp_path)
    said = albert("check", tmp_path / "train.csv", "--dev", tmp_path / "dev.csv", "--show", 99).stdout
    for name, words in {
        "bad-rows: ragged": "ragged row: expected 2 columns, got 3",
        "bad-rows: no label": "no label",
        "conflicting-labels": "is 'bad', at line",
        "unknown-labels": "did you mean 'good'?",
        "hidden-characters": "U+200B ZERO WIDTH SPACE",
        "bidi-controls": "U+202E RIGHT-TO-LEFT OVERRIDE",
        "lookalikes": "'pаypal' with U+0430 CYRILLIC SMALL LETTER A",
        "mark-floods": "40 marks in a row",
        "mojibake": "'Ã©' for 'é'",
        "doubtful-labels": "perhaps 'bad'",
        "label-in-text": "'refund' occurs in 100% of the rows of 'refund'",
    }.items():
        file, line = planted[name]
        assert any(f"{file}:{line}: " in row and words in row for row in said.splitlines()), (name, said)
    assert "--set class_weights=balanced" in said
    assert "near-leakage] dev rows nearly equal to one in train" in said


def test_clean_files_pass(albert: Albert, tmp_path: Path) -> None:
    files = [clean(tmp_path / f"{name}.csv", seed=i).save() for i, name in enumerate(("train", "dev", "test"))]
    done = albert("check", files[0], "--dev", files[1], "--test", files[2], "--strict")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "task      classification: the first 60 rows of column 'label' hold 2 different values: good, bad"
        in done.stdout
    )
    assert "test.csv: 60 rows" in done.stdout
    assert done.stdout.endswith("0 errors, 0 warnings, 0 notes\n")


def test_only_strict_fails_on_warnings(albert: Albert, tmp_path: Path) -> None:
    sheet = clean(tmp_path / "a.csv", seed=0)
    sheet.add("?!", "good")
    path = sheet.save()
    assert albert("check", path).returncode == 0
    assert albert("check", path, "--strict").returncode == 65


def test_a_report_names_a_few_places_and_counts_all(albert: Albert, tmp_path: Path) -> None:
    sheet = clean(tmp_path / "a.csv", seed=0)
    for number in range(150):
        sheet.add(f"number {number}", "")
    done = albert("check", sheet.save(), "--show", 2)
    assert "error[bad-rows] rows that cannot be read: 150" in done.stdout
    assert "a.csv:62: no label" in done.stdout
    assert "a.csv:64: no label" not in done.stdout
    assert "… and 148 more" in done.stdout
    assert "a.csv: 60 rows, 150 bad" in done.stdout


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        ("text,label\n", "bad-rows", "no rows of data"),
        ("text,label\n" + "".join(f"row {i},same\n" for i in range(9)), "unusable-labels", "one class, 'same'"),
        ("text,label\n" + "".join(f"row {i},own {i}\n" for i in range(30)), "unrepeated-labels", "'own 0'"),
    ],
)
def test_labels_that_cannot_be_learned(albert: Albert, tmp_path: Path, content: str, kind: str, words: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    done = albert("check", tmp_path / "a.csv")
    assert done.returncode == 65
    assert f"error[{kind}]" in done.stdout
    assert words in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.txt", "only lines\nof text\n", "which column is the label"),
        ("missing.csv", None, "no such file"),
        ("empty.csv", "", "an empty file"),
        ("ids.csv", "a,b\n1,2\n3,4\n5,6\n", "which column is the label"),
    ],
)
def test_files_of_no_task_are_refused(
    albert: Albert, tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    done = albert("check", tmp_path / name)
    assert done.returncode == 65
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_other_files_need_the_columns_of_the_training_file(albert: Albert, tmp_path: Path) -> None:
    train = clean(tmp_path / "train.csv", seed=0).save()
    (tmp_path / "dev.csv").write_text("message,label\nfine,good\n")
    done = albert("check", train, "--dev", tmp_path / "dev.csv")
    assert done.returncode == 65
    assert "no column 'text'" in done.stderr
    (tmp_path / "a.tsv").write_text("one text\tgood\nanother text\tbad\n" * 5)
    (tmp_path / "b.tsv").write_text("1\tone more\tgood\n" * 5)
    done = albert("check", tmp_path / "a.tsv", "--dev", tmp_path / "b.tsv", "--text", "1", "--label", "2")
    assert "columns without names" in done.stderr


def test_a_lone_surrogate_is_a_bad_row(albert: Albert, tmp_path: Path) -> None:
    rows = [json.dumps({"text": f"a message of number {i}", "label": "ab"[i % 2]}) for i in range(8)]
    rows.insert(3, '{"text": "half \\ud800 of it", "label": "a"}')
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    done = albert("check", tmp_path / "a.jsonl")
    assert done.returncode == 65
    assert "a.jsonl:4: half a character" in done.stdout


# --- entities and numbers --------------------------------------------------------------------------------


def test_entities(albert: Albert, tmp_path: Path) -> None:
    lines = []
    for index, name in enumerate(("ahead", "below", "close", "deep", "early", "far", "gone")):
        lines += [f"{name} O", f"{index} O", "came O", "Ada B-person", "Lovelace I-person", "to O", "Rome B-place", ""]
    lines[3 + 8 * 4 : 5 + 8 * 4] = ["Ada O", "Lovelace O"]  # missed in the fifth sentence
    lines[6 + 8 * 5] = "Rome B-person"  # unlike the others in the sixth
    lines[6 + 8 * 6] = "Rome I-place"  # no scheme allows that beside B- of another type
    lines += ["alone", ""]
    path = tmp_path / "train.conll"
    path.write_text("\n".join(lines))
    done = albert("check", path, "--json")
    told = {f["kind"]: [place["line"] for place in f["places"]] for f in report(done)["findings"]}
    assert report(done)["task"] == "ner"
    assert done.returncode == 65
    assert told["bad-rows"] == [57]
    assert told["missed-entities"] == [36]
    assert told["unlike-entities"] == [47]
    assert told["tag-scheme"] == [55]
    assert report(done)["labels"] == {"person": 7, "place": 6}


def test_spans_of_running_text(albert: Albert, tmp_path: Path) -> None:
    def row(text: str, *spans: tuple[int, int, str]) -> str:
        return json.dumps({"text": text, "label": spans})

    rows = [row(f"{start} lives in Rome", (18, 22, "place")) for start in ("Ada then", "Bob soon", "Eve once")]
    rows[0] = row("Ada then lives in Rome", (18, 22, "place"), (18, 22, "place"))
    rows.append(row("the Rome-based office", (4, 8, "place")))
    rows.append(row("a trip to Paris today", (10, 16, "place")))
    rows.append(row("New York City", (0, 8, "place"), (4, 13, "place")))
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    done = albert("check", tmp_path / "a.jsonl", "--json")
    told = {f["kind"]: [place["line"] for place in f["places"]] for f in report(done)["findings"]}
    assert told["span-edges"] == [4]
    assert told["span-spaces"] == [5]
    assert told["span-twice"] == [1]
    assert told["bad-rows"] == [6]


def rated(path: Path) -> Sheet:
    """Texts with a number that one of their words goes with."""
    rng, sheet = random.Random(0), Sheet(path, columns=("text", "score"))
    words = {"awful": 1.0, "poor": 2.0, "fair": 3.0, "fine": 4.0, "superb": 5.0}
    for index in range(150):
        word = list(words)[index % 5]
        made = " ".join("".join(rng.choices(SYLLABLES, k=3)) for _ in range(6))
        sheet.add(f"{made} {word} {word}", f"{words[word] + rng.uniform(-0.3, 0.3):.2f}")
    return sheet


def test_numbers(albert: Albert, tmp_path: Path) -> None:
    sheet = rated(tmp_path / "train.csv")
    far = sheet.add("muna kilo fair", "300")
    twice = [sheet.add("pelori basotu fine", score) for score in ("4", "4.2")]
    bad = sheet.add("nade pemu fine", "four")
    done = albert("check", sheet.save(), "--json")
    told = {f["kind"]: [place["line"] for place in f["places"]] for f in report(done)["findings"]}
    assert report(done)["task"] == "regression"
    assert report(done)["labels"] == {}
    assert (told["bad-rows"], told["far-labels"], told["conflicting-labels"]) == ([bad], [far], twice[1:])


def test_numbers_that_the_words_contradict(albert: Albert, tmp_path: Path) -> None:
    sheet = rated(tmp_path / "train.csv")
    doubtful = sheet.add("rilona kibade superb superb", "1.1")
    done = albert("check", sheet.save(), "--json")
    told = {f["kind"]: [place["line"] for place in f["places"]] for f in report(done)["findings"]}
    assert (done.returncode, told["doubtful-labels"]) == (0, [doubtful])
