"""The second look at the first passages. The model is a stand-in that counts a letter."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import albert
from albert.documents.rerank import DEPTH, reranked
from albert.errors import AlbertError, ErrorKind
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert
from served import write_model


class Counter:
    """Likes passages with many z."""

    def __init__(self, *labels: str, task: str = "classification") -> None:
        self.labels = labels
        self.task = SimpleNamespace(name=task, pipeline="text-classification")

    def outputs(self, pairs: Any) -> list[Any]:
        counts = [pair.text_pair.count("z") for pair in pairs]
        place = next((n for n, label in enumerate(self.labels) if label in {"1", "entailment"}), 0)
        return [SimpleNamespace(pooled=np.eye(max(len(self.labels), 1))[place] * count) for count in counts]


@pytest.fixture
def kb(tmp_path: Path) -> Any:
    for number in range(30):
        (tmp_path / f"{number:02}.txt").write_text("lamp " * (30 - number) + "z" * number)
    with albert.Index(tmp_path / "kb.db") as kb:
        kb.add(tmp_path)
        yield kb


@pytest.mark.parametrize("labels", [("score",), ("0", "1"), ("entailment", "not_entailment")])
def test_the_first_passages_are_ordered_by_both_ranks(kb: Any, labels: tuple[str, ...]) -> None:
    model: Any = Counter(*labels)
    plain, found = kb.search("lamp", top_k=25), kb.search("lamp", top_k=25, rerank=model)
    assert [hit.passage for hit in found[DEPTH:]] == [hit.passage for hit in plain[DEPTH:]]
    assert {hit.passage for hit in found} == {hit.passage for hit in plain}
    best = max(found[:DEPTH], key=lambda hit: hit.text.count("z"))
    assert (best.reranked, found[DEPTH].reranked) == (1, None)
    assert found.index(best) < [hit.passage for hit in plain].index(best.passage)
    assert len(kb.search("lamp", top_k=3, rerank=model)) == 3
    assert reranked("lamp", [], model) == []


@pytest.mark.parametrize("model", [Counter("a", "b"), Counter("a", "b", "1"), Counter("0", "1")])
def test_a_model_that_does_not_tell_what_fits_is_refused(kb: Any, model: Any) -> None:
    if model.labels == ("0", "1"):
        model.task.pipeline = "question-answering"
    with pytest.raises(AlbertError, match="reranking") as caught:
        kb.search("lamp", rerank=model)
    assert caught.value.kind is ErrorKind.MODEL


def test_the_command_line(kb: Any, tmp_path: Path, albert: Albert, tokenizer: AlbertTokenizer) -> None:
    model = write_model(tmp_path / "model", "regression", tokenizer)
    done = albert("search", kb.store.path, "lamp", "--rerank", model)
    assert done.returncode == 0, done.stderr
    assert "reranked 1" in done.stdout
    other = write_model(tmp_path / "other", "classification", tokenizer)
    refused = albert("search", kb.store.path, "lamp", "--rerank", other)
    assert refused.returncode == 66
    assert len(refused.stderr.splitlines()) == 1
