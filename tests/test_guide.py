"""The guide's examples, run as they stand there, on small data of their kind."""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path

import pytest

from conftest import ROOT, Albert

GUIDE = ROOT / "docs" / "guide"
CONTENTS = re.findall(r"^\| \[[^]]+\]\(([^)]+)\)", (GUIDE / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
EXAMPLES = [
    (page, language, example)
    for page in CONTENTS
    for language, example in re.findall(
        r"<!-- executed by tests/test_guide.py -->\n```(console|python)\n(.*?)```",
        (GUIDE / page).read_text(encoding="utf-8"),
        re.DOTALL,
    )
]
QUICK = {
    "embedding_size": 32, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "num_hidden_layers": 2,
    "epochs": 3, "lr": 1e-3, "patience": 0, "batch_size": 16,
}  # fmt: skip
PLACES = ("table", "chair", "bed", "lamp", "door")
ANIMALS = ("cat", "dog", "bird", "mouse")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples name."""
    folder = tmp_path_factory.mktemp("guide")
    rng = random.Random(0)
    tags, choices, paragraphs, pairs, faq = [], [], [], ["sentence1,sentence2,score"], []
    for number in range(60):
        animal, other = rng.sample(ANIMALS, 2)
        place, wrong = rng.sample(PLACES, 2)
        context = f"the {animal} is under the {place}"
        tags.append({"text": context, "labels": [animal] if number % 3 else [animal, "odd"]})
        choices.append({"article": context, "question": "where is it?", "choices": [place, wrong], "answer": place})
        answers = [{"text": f"under the {place}", "answer_start": context.index("under")}]
        questions = [
            {"id": f"{number}-a", "question": f"where is the {animal}", "answers": answers},
            {"id": f"{number}-b", "question": f"where is the {other}", "answers": [], "is_impossible": True},
        ]
        paragraphs.append({"context": context, "qas": questions})
        pairs.append(f"the {animal},the {animal if number % 2 else other},{number % 2 + number / 100}")
        faq.append({"question": f"what about {animal} number {number}", "answer": f"number {number} is a {place}"})
    for name, rows in (("tags", tags), ("choices", choices), ("faq", faq)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "squad.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    (folder / "pairs.csv").write_text("\n".join(pairs) + "\n")
    (folder / "texts.txt").write_text("the cat is under the bed\n")
    return folder


def test_the_table_of_contents_names_every_page_once() -> None:
    assert sorted(CONTENTS) == sorted(path.name for path in GUIDE.glob("*.md") if path.name != "README.md")


def test_every_task_has_its_examples() -> None:
    pages = [page for page, _, _ in EXAMPLES]
    assert {page: pages.count(page) for page in pages} == {
        "tasks.md": 2, "question-answering.md": 2, "similarity.md": 2, "python.md": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("page", "language", "example"), EXAMPLES)
def test_an_example_runs(
    data: Path, albert: Albert, monkeypatch: pytest.MonkeyPatch, page: str, language: str, example: str
) -> None:
    monkeypatch.chdir(data)
    if language == "python":  # an earlier page's commands made its model
        exec(compile(example, page, "exec"), {})
        return
    for line in example.splitlines():
        command = shlex.split(line.removeprefix("$ albert "))
        if command[0] == "train":
            command += [
                "--overwrite",
                "--size",
                "tiny",
                *(word for item in QUICK.items() for word in ("--set", "=".join(map(str, item)))),
            ]
        elif command[0] == "evaluate":  # three epochs reach no gate
            command = command[: command.index("--min")]
        done = albert(*command)
        assert done.returncode == 0, done.stderr
