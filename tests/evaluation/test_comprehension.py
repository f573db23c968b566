"""What the scorers of SQuAD and RACE read, from models that answer at random."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from albert.cli.evaluations import race_accuracies, require_task, write_squad
from albert.config import AlbertConfig
from albert.data.examples import Columns
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask
from albert.predict.predictor import Predictor
from albert.tasks import TASKS, Lengths
from albert.text.tokenizer import AlbertTokenizer


def predictor(task: str, labels: tuple[str, ...], columns: Columns) -> Predictor:
    tokenizer = AlbertTokenizer.english()
    config = AlbertConfig.named(
        "tiny", vocab_size=tokenizer.vocab_size, hidden_size=32, num_attention_heads=2, intermediate_size=64,
        embedding_size=16, num_hidden_layers=1, id2label=labels, initializer_range=0.5,
    )  # fmt: skip
    model = AlbertForTask(config, TASKS[task].head, generator=torch.Generator().manual_seed(0))
    return Predictor(model, tokenizer, TASKS[task], columns, lengths=Lengths(max_length=64), precision="fp32")


def race(folder: Path) -> Path:
    for level, texts in (("middle", 5), ("high", 8)):
        (folder / "test" / level).mkdir(parents=True)
        for number in range(texts):
            article = {
                "id": f"{level}{number}.txt",
                "article": f"text {number} of {level} school",
                "questions": ["what?", "and why?"],
                "options": [[f"{word} {number}" for word in words] for words in (["a", "b", "c"], ["d", "e", "f"])],
                "answers": ["ABC"[number % 3], "CAB"[number % 3]],
            }
            (folder / "test" / level / f"{number}.txt").write_text(json.dumps(article))
    return folder / "test"


def test_race_is_scored_by_the_schools(tmp_path: Path) -> None:
    model = predictor("choice", ("score",), Columns("article", "question", "answer", ("options",)))
    scores = race_accuracies(model.evaluate(race(tmp_path)))
    right: dict[str, list[bool]] = {"middle": [], "high": []}
    for path in sorted((tmp_path / "test").rglob("*.txt")):
        article = json.loads(path.read_text())
        for question, options, answer in zip(article["questions"], article["options"], article["answers"], strict=True):
            said = model({"text": article["article"], "text_pair": question, "choices": options})
            right[path.parent.name].append("ABC"[said[0]["index"]] == answer)
    assert scores["accuracy_middle"] == np.mean(right["middle"])
    assert scores["accuracy_high"] == np.mean(right["high"])
    assert scores["accuracy"] == np.mean(right["middle"] + right["high"])
    assert 0 < scores["accuracy"] < 1


def test_squad_s_answers_are_written_by_question(tmp_path: Path) -> None:
    questions = [{"id": f"q{n}", "question": "where " * n, "answers": []} for n in range(1, 6)]
    questions[0]["answers"] = [{"text": "paris", "answer_start": 3}]
    context = "in paris or in rome or in the old town of lisbon"
    data = {"data": [{"title": "t", "paragraphs": [{"context": context, "qas": questions}]}]}
    (tmp_path / "dev.json").write_text(json.dumps(data))
    model = predictor("qa", ("start", "end"), Columns("question", "context", "answers"))
    model.thresholds = (0.5,)
    path = write_squad(model.evaluate(tmp_path / "dev.json"), tmp_path / "new" / "folder")
    written = json.loads(path.read_text())
    asked = {q["id"]: model(question=q["question"], context=context)[0]["answer"] for q in questions}
    assert written == asked
    assert len(set(asked.values())) > 1


def test_files_without_ids_and_other_models_are_refused(tmp_path: Path) -> None:
    model = predictor("choice", ("score",), Columns("article", "question", "answer", ("options",)))
    row = {"article": "a", "question": "b", "options": ["c", "d"], "answer": "c"}
    (tmp_path / "plain.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(AlbertError, match="no ids"):
        race_accuracies(model.evaluate(tmp_path / "plain.jsonl"))
    with pytest.raises(AlbertError, match="a model for qa") as caught:
        require_task(model, "qa")
    assert caught.value.kind is ErrorKind.MODEL
