"""The gate of the fast forms: what they do not know is computed by the reference, wherever a network runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from albert.compute import dense, packed, train_step
from albert.compute.covers import covers
from albert.config import AlbertConfig
from albert.engine import Engine, calibrate
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import TaskObjective
from albert.model import HEADS, AlbertForTask
from albert.model.heads import Encoded, SequenceClassificationHead
from albert.predict.predictor import Predictor
from albert.pretraining.objective import PretrainingBatch, PretrainingObjective
from albert.serve.core.hosted import Hosted, Source
from albert.tasks import TASKS, Lengths
from albert.tasks.losses import LossShape
from albert.text.tokenizer import AlbertTokenizer
from rows import features


@dataclass(frozen=True, kw_only=True)
class Windowed(AlbertConfig):
    """A config with a field that no fast form has heard of."""

    attention_reach: int = 0


class NewHead(SequenceClassificationHead):
    """A head that no fast form has heard of: its logits are negated."""

    architecture: ClassVar[str] = "AlbertForTests"

    def read(self, encoded: Encoded) -> Tensor:
        logits: Tensor = -self(encoded.pooled)
        return logits


def config(**changes: Any) -> Windowed:
    labels = {"id2label": ("a", "b"), "vocab_size": AlbertTokenizer.english().vocab_size}
    return Windowed.named(
        "tiny", **{"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, **labels, **changes}
    )


def model(head: str = "sequence_classification", **changes: Any) -> AlbertForTask:
    return AlbertForTask(config(**changes), head, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def no_fast_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs a fast form fails."""

    def fail(*_: Any, **__: Any) -> None:
        pytest.fail("a fast form ran")

    monkeypatch.setattr(packed.PackedModel, "_encode", fail)
    monkeypatch.setattr(train_step, "encode_positions", fail)
    monkeypatch.setattr(dense.DenseEncoder, "__init__", fail)


def reference(one: AlbertForTask, rows: Any) -> np.ndarray:
    """The logits of each row by itself."""
    batches = [rows.batch([row]) for row in range(len(rows))]
    with torch.inference_mode():
        return np.stack([one.eval()(each.input_ids, token_type_ids=each.token_type_ids)[0].numpy() for each in batches])


def test_every_field_is_known() -> None:
    changed = AlbertConfig.named("tiny", hidden_act="relu", pooling="mean", layer_norm_eps=1e-6)
    assert covers(changed, "span")
    assert covers(config(), None)
    assert not covers(config(attention_reach=4), None)
    assert not covers(config(), "conditional_random_field")


def test_with_its_default_a_new_field_costs_no_speed() -> None:
    assert Engine(model()).packed is not None
    assert train_step.applies(model().albert)


@pytest.mark.usefixtures("no_fast_form")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_prediction_falls_back(precision: Any) -> None:
    one, rows = model(attention_reach=4), features([3, 5, 1])
    logits = np.stack(Engine(one, precision).logits(rows))
    np.testing.assert_allclose(logits, reference(one, rows), atol=1e-5 if precision == "fp32" else 0.05)


@pytest.mark.usefixtures("no_fast_form")
def test_a_new_head_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, "new", NewHead)
    one, rows = model("new"), features([3, 2])
    np.testing.assert_allclose(np.stack(Engine(one, "fp32").logits(rows)), reference(one, rows), atol=1e-5)


@pytest.mark.usefixtures("no_fast_form")
def test_training_falls_back() -> None:
    one, task = model(attention_reach=4), TASKS["classification"]
    rows = dataclasses.replace(features([3, 2]), gold=np.array([0, 1]))
    TaskObjective(task, LossShape()).sums(one, rows.batch([0, 1]))["loss"].backward()
    assert one.albert.embeddings.word.weight.grad is not None


@pytest.mark.usefixtures("no_fast_form")
def test_pre_training_falls_back() -> None:
    one, ids = model("pretraining", attention_reach=4), torch.tensor([[2, 7, 4, 3]])
    batch = PretrainingBatch(ids, ids * 0, ids * 0 + 1, torch.tensor([2]), torch.tensor([9]), torch.tensor([0]))
    sum(PretrainingObjective().sums(one, batch).values()).backward()  # type: ignore[union-attr]
    encoder = dense.encoder_over_rows(one.albert, torch.float32, compiled=False)
    wanted = list(one.albert.depths(ids))
    for found, depth in zip(encoder.depths(ids, ids * 0), wanted, strict=True):
        torch.testing.assert_close(found, depth)


@pytest.mark.usefixtures("no_fast_form")
def test_serving_falls_back() -> None:
    one = model(attention_reach=4)
    predictor = Predictor(one, AlbertTokenizer.english(), TASKS["classification"], None, lengths=Lengths(max_length=64))
    hosted = Hosted(Source("m", "m"), predictor)
    rows = features([3, 2])
    np.testing.assert_allclose(np.stack(hosted.logits_lane.compute(rows).rows), reference(one, rows), atol=0.05)


def test_what_needs_a_fast_form_says_so() -> None:
    one = model(attention_reach=4)
    for work in (lambda: packed.PackedModel(one, "fp32"), lambda: calibrate(one, features([2]))):
        with pytest.raises(AlbertError, match="attention_reach") as refused:
            work()
        assert refused.value.kind is ErrorKind.MODEL
