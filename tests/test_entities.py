"""Entities end to end: from a file to a model folder, scores, predictions; the guide's example as it stands there."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

import albert
from albert.export.lengthen import lengthen
from albert.predict.predictor import Predictor
from conftest import ROOT, Albert

QUICK = {
    "epochs": 16.0,
    "initializer_range": 0.1,
    "batch_size": 16,
    "lr": 3e-3,
    "num_hidden_layers": 2,
    "embedding_size": 32,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "precision": "fp32",
}
PEOPLE = ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Bob", "Wolfgang Amadeus Mozart")
PLACES = ("Rome", "Oslo", "New York", "Salzburg", "Coca-Cola Plaza")
FRAMES = ("A lives in B .", "in B we met A .", "A left B , they say .", "nobody saw it in B .", "so it goes .")


def write_conll(path: Path, *, sentences: int = 120, seed: int = 0) -> Path:
    """Sentences about people and places that any tagger can learn."""
    rng = random.Random(seed)
    lines = []
    for index in range(sentences):
        names = {"A": rng.choice(PEOPLE), "B": rng.choice(PLACES)}
        for word in FRAMES[index % len(FRAMES)].split():
            parts = names.get(word, word).split()
            kind = {"A": "person", "B": "place"}.get(word)
            lines += [f"{part}\t{'O' if kind is None else 'BI'[i > 0] + '-' + kind}" for i, part in enumerate(parts)]
        lines.append("")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("entities")
    write_conll(path / "ner.conll")
    write_conll(path / "test.conll", sentences=30, seed=1)
    (path / "texts.txt").write_text("Ada Lovelace lives in Oslo.\nso it goes\n")
    return path


@pytest.fixture(scope="module")
def trained(folder: Path) -> Predictor:
    return albert.train(folder / "ner.conll", out=folder / "out", size="tiny", settings=QUICK, quiet=True)


def test_it_learns_names_and_where_they_stand(trained: Predictor) -> None:
    text = "in New York we met Alan Turing."
    found = trained(text)
    assert [(p["entity_group"], p["word"]) for p in found] == [("place", "New York"), ("person", "Alan Turing")]
    assert all(text[p["start"] : p["end"]] == p["word"] and 0.5 < p["score"] <= 1 for p in found)
    assert trained([text, "so it goes"]) == [found, []]


def test_with_attention_windows_capitals_are_no_question(folder: Path, tmp_path: Path) -> None:
    lengthen("starter", tmp_path / "long", to=600)
    model = albert.train(
        folder / "ner.conll", out=tmp_path / "out", init=tmp_path / "long", settings={"steps": 1}, quiet=True
    )
    assert model.tokenizer.case_marks
    assert not model.config.global_question


def test_saved_and_loaded_it_says_the_same(trained: Predictor, folder: Path) -> None:
    again = albert.load(folder / "out")
    assert isinstance(again, Predictor)
    assert again.task.name == "ner"
    assert again.evaluate(folder / "test.conll") == trained.evaluate(folder / "test.conll")
    assert again("Bob left Rome") == trained("Bob left Rome")
    card = (folder / "out" / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card
    assert "B-person" in card


def test_evaluation_scores_what_prediction_says(trained: Predictor, folder: Path, albert: Albert) -> None:
    """Precision and recall, counted again from the file that `predict` writes."""
    assert albert("predict", folder / "out", folder / "test.conll", "-o", folder / "said.jsonl").returncode == 0
    rows = [json.loads(line) for line in (folder / "said.jsonl").read_text().splitlines()]
    found = [(i, e["start"], e["end"], e["entity_group"]) for i, row in enumerate(rows) for e in row["entities"]]
    gold = [(i, *span) for i, row in enumerate(rows) for span in row["spans"]]
    right = len(set(found) & set(gold))
    scores = trained.evaluate(folder / "test.conll").scores
    assert scores == pytest.approx(
        {"f1": 2 * right / (len(found) + len(gold)), "precision": right / len(found), "recall": right / len(gold)}
    )
    assert scores["f1"] > 0.9


@pytest.mark.parametrize("marks", ["auto", "off"])
def test_capitals_tell_names_from_words(tmp_path: Path, marks: str) -> None:
    """A rose is a flower, and Rose sings. The vocabulary is in lower case."""
    lines = [f"{word}\tO\n{name}\t{tag}\n{verb}\tO\n" for word in ("today", "now", "here", "then", "once")
             for verb in ("sings", "grows", "waits", "falls") for kind in ("rose", "daisy", "lily", "iris", "violet")
             for name, tag in ((kind, "O"), (kind.title(), "B-person"))]  # fmt: skip
    random.Random(0).shuffle(lines)
    (tmp_path / "ner.conll").write_text("\n".join(lines))
    settings = {**QUICK, "case_marks": marks}
    model = albert.train(tmp_path / "ner.conll", out=tmp_path / "out", size="tiny", settings=settings, quiet=True)
    for again in (model, albert.load(tmp_path / "out")):
        assert isinstance(again, Predictor)
        name, word = (len(found) for found in again(["now Iris waits", "now iris waits"]))
        assert (name, word) == (1, 0) if marks == "auto" else name == word
    assert ("marked by token type 1" in (tmp_path / "out" / "README.md").read_text()) == (marks == "auto")


# --- the command line ------------------------------------------------------------------------------------


@pytest.mark.ci
def test_the_guide_runs(folder: Path, albert: Albert, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (ROOT / "docs" / "guide" / "entities.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- executed by tests/test_entities.py -->\n```console\n(.*?)```", guide, re.DOTALL)
    assert block
    commands = [line.removeprefix("$ albert ") for line in block[1].splitlines() if line.startswith("$ ")]
    assert [command.split()[0] for command in commands] == ["train", "evaluate", "predict"]
    monkeypatch.chdir(folder)
    quick = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
    for command in commands:
        extra = [*quick, "--size", "tiny", "--overwrite"] if command.startswith("train") else []
        done = albert(*command.split(), *extra)
        assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout.splitlines()[0])
    assert row["text"] == "Ada Lovelace lives in Oslo."
    assert [set(entity) for entity in row["entities"]] == [{"entity_group", "score", "word", "start", "end"}] * 2
    assert [entity["word"] for entity in row["entities"]] == ["Ada Lovelace", "Oslo"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.conll", "EU\tB-ORG\nrejects\n", ["a.conll:2: ragged row"]),
        ("a.conll", "EU\tB-ORG\nrejects\tB\n\n", ["a.conll:2: tag 'B'"]),
        ("a.conll", "EU\tO\n\nrejects\tO\n", ["1 to 1,000 types of entities, got 0"]),
        ("a.conll", "EU\tB-ORG\n\n", ["enough different texts"]),
        ("a.jsonl", '{"text": "x", "label": [[0, 1, "A"]]}\n{"text": "y", "label": [[0, 2, "A"]]}\n',
         ["a.jsonl:2: label: span [0, 2] in a text of 1 characters"]),
        ("a.jsonl", '{"text": "xyz", "spans": [{"start": 0, "end": 2, "label": "A"}]}\n'
         '{"text": "xyz", "spans": [[0, 2, "A"], [1, 3, "A"]]}\n', ["a.jsonl:2", "overlap"]),
    ],
)  # fmt: skip
def test_bad_files(albert: Albert, tmp_path: Path, name: str, content: str, said: list[str]) -> None:
    (tmp_path / name).write_text(content)
    done = albert("train", tmp_path / name, "-o", tmp_path / "out")
    assert done.returncode == 65, done.stderr
    assert done.stderr.count("error[") == 1
    assert done.stdout == ""
    for part in said:
        assert part in done.stderr
    assert not (tmp_path / "out").exists()


def test_repairs_misfits_and_gates_are_told(trained: Predictor, folder: Path, albert: Albert) -> None:
    (folder / "odd.conll").write_text("Bob\tI-person\nleft\tO\nNew\tB-place\nYork\tI-place\n")
    done = albert("evaluate", folder / "out", folder / "odd.conll", "--min", "f1=1.01")
    assert done.returncode == 4
    assert "1 entities without a B- at their beginning" in done.stderr
    (folder / "odd.jsonl").write_text('{"text": "Bobby left", "label": [[0, 3, "person"]]}\n')
    done = albert("evaluate", folder / "out", folder / "odd.jsonl", "--label", "label")
    assert done.returncode == 0, done.stderr
    assert "1 of 1 entities begin or end inside a word" in done.stderr
    assert "odd.jsonl:1 'Bob'" in done.stderr
    (folder / "new.conll").write_text("Bob\tB-persn\n")
    done = albert("evaluate", folder / "out", folder / "new.conll")
    assert done.returncode == 65
    assert "new.conll:1: label 'persn' is not in the training data" in done.stderr
    done = albert("predict", folder / "out", "-", "--aggregation", "last", input="x\n")
    assert done.returncode == 2
    assert "none, simple, first, average, max" in done.stderr
