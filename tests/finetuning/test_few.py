"""Few rows a label: a linear head on vectors, in an ordinary classifier."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_hybrid import BAD, GOOD, sentence

from albert.config import AlbertConfig
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import TaskObjective
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.few import ENOUGH, Head, PairObjective
from albert.finetuning.finetune import finetune
from albert.model import AlbertForTask
from albert.predict.predictor import Predictor
from albert.tasks import task_named
from albert.tasks.losses import PLAIN
from albert.text.tokenizer import AlbertTokenizer
from served import write_model

pytestmark = pytest.mark.ci  # minutes altogether


@pytest.fixture(scope="module")
def start(tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("start") / "start", None, tokenizer, num_hidden_layers=1)


def rows(path: Path, count: int, **more: Any) -> DataSource:
    rng = random.Random(0)
    made = [
        {"text": sentence(rng, rng.choice((GOOD, BAD)[n % 2])) + f" {n}", "label": ("good", "bad")[n % 2], **more}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return DataSource(str(path))


def config(folder: Path, start: Path | None, train: DataSource, **options: Any) -> FinetuneConfig:
    settings = {"epochs": 2.0, **options.pop("settings", {})}
    size = None if start else "tiny"
    return FinetuneConfig(
        train=train, out=folder / "model", init=start and str(start), size=size, settings=settings, **options
    )


def test_few_rows_are_learned_on_vectors_and_the_model_is_ordinary(start: Path, tmp_path: Path) -> None:
    own = config(tmp_path, start, rows(tmp_path / "few.jsonl", 24))
    result = finetune(own)
    for name in ("README.md", "report.html"):
        assert (tmp_path / "model" / name).is_file()
    assert "few rows a label" in (tmp_path / "model" / "report.html").read_text()
    evaluation = Predictor.load(tmp_path / "model").evaluate(tmp_path / "few.jsonl")
    assert evaluation.scores["accuracy"] > 0.6
    weights = (tmp_path / "model" / "model.safetensors").read_bytes()
    finetune(own, resume=True)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == weights
    assert result.steps > 0


@pytest.mark.parametrize(
    ("count", "options", "vectors"),
    [(24, {"few_labels": False}, False), (4 * ENOUGH, {}, False), (4 * ENOUGH, {"few_labels": True}, True)],
)
def test_vectors_are_used_where_told_or_where_rows_are_few(
    count: int, options: dict[str, Any], vectors: bool, start: Path, tmp_path: Path
) -> None:
    finetune(config(tmp_path, start, rows(tmp_path / "few.jsonl", count), settings={"epochs": 1.0}, **options))
    assert (AlbertConfig.load(tmp_path / "model").pooling == "mean") is vectors


@pytest.mark.parametrize(
    ("more", "options"),
    [({}, {"scratch": True}), ({"text_pair": "b"}, {}), ({}, {"early_exit": True}),
     ({"label": 0.5}, {"task": "regression"})],
)  # fmt: skip
def test_what_has_no_vectors_is_refused_where_asked_for(
    more: dict[str, Any], options: dict[str, Any], start: Path, tmp_path: Path
) -> None:
    train = rows(tmp_path / "few.jsonl", 40, **more)
    if "label" in more:
        lines = [json.dumps({"text": f"a {n}", "label": n / 7}) for n in range(60)]
        (tmp_path / "few.jsonl").write_text("\n".join(lines))
    begin = None if options.pop("scratch", False) else start
    train = DataSource(train.path, task=options.pop("task", None))
    with pytest.raises(AlbertError, match="--few-labels") as caught:
        finetune(config(tmp_path, begin, train, few_labels=True, **options))
    assert caught.value.kind is ErrorKind.USAGE


def test_the_classifier_says_what_the_regression_says() -> None:
    shape = AlbertConfig.named("tiny", vocab_size=50, id2label=("a", "b", "c"), pooling="mean")
    model = AlbertForTask(shape, "sequence_classification", generator=torch.Generator().manual_seed(0)).eval()
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, shape.hidden_size)).astype(np.float32)
    gold = rng.integers(0, 2, 60)  # the third label has no rows
    head = Head.fitted(vectors, gold, 3)
    head.put(model)
    assert model.albert.pooler is not None
    pooled = torch.tanh(model.albert.pooler.linear(torch.from_numpy(vectors)))
    said = model.head(pooled).detach().numpy()  # type: ignore[operator]
    expected = vectors @ head.weights.T + head.bias
    assert np.allclose(said, expected, atol=0.02 * np.abs(expected).max())
    assert (said.argmax(1) < 2).all()
    with pytest.raises(AlbertError, match="rows of two labels"):
        Head.fitted(vectors, np.zeros(60, np.int64), 3)


def test_texts_of_a_label_are_drawn_together() -> None:
    objective = PairObjective(task_named("classification"), PLAIN)
    assert isinstance(objective, TaskObjective)
    gold = torch.tensor([0, 0, 1, 1])
    together = torch.tensor([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
    mixed = together[[0, 2, 1, 3]]
    assert objective.loss(together, gold) < objective.loss(mixed, gold)
    for lone in (torch.tensor([0]), torch.tensor([0, 0]), torch.tensor([0, 1])):
        assert objective.loss(together[: len(lone)], lone).item() == 0
