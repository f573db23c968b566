"""Options of the losses over labels, against torch's own and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind
from albert.tasks import TASKS
from albert.tasks.losses import PLAIN, LossConfig, LossShape, balanced_weights

LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
GOLD = torch.arange(12) % 3
SEVERAL = (torch.arange(36).view(12, 3) % 4 == 0).float()


def test_plain_losses_are_torch_s() -> None:
    single, several = TASKS["classification"], TASKS["multilabel"]
    expected = torch.nn.functional.cross_entropy(LOGITS, GOLD, reduction="sum")
    assert single.loss(LOGITS, GOLD).item() == pytest.approx(expected.item())
    expected = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, SEVERAL, reduction="sum")
    assert several.loss(LOGITS, SEVERAL).item() == pytest.approx(expected.item())


def test_balanced_weights_are_scikit_learn_s_and_reach_the_loss() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    task = TASKS["classification"]
    examples = [Example("x", gold=label) for label in "aaaaab"]
    shape = task.shape_loss(LossConfig(class_weights="balanced"), examples, ("a", "b"))
    expected = compute_class_weight("balanced", classes=np.array(["a", "b"]), y=np.array(list("aaaaab")))
    assert shape.weights is not None
    assert shape.weights.tolist() == pytest.approx(expected)
    logits, gold = LOGITS[:, :2], GOLD % 2
    weighted = torch.nn.functional.cross_entropy(logits, gold, weight=shape.weights, reduction="sum")
    assert task.loss(logits, gold, shape).item() == pytest.approx(weighted.item())


def test_smoothing_is_torch_s_and_focal_zero_is_none() -> None:
    task = TASKS["classification"]
    smooth = task.loss(LOGITS, GOLD, LossShape(LossConfig(label_smoothing=0.2)))
    expected = torch.nn.functional.cross_entropy(LOGITS, GOLD, reduction="sum", label_smoothing=0.2)
    assert smooth.item() == pytest.approx(expected.item())
    focal = task.loss(LOGITS, GOLD, LossShape(LossConfig(focal=2.0)))
    right = LOGITS.softmax(1)[torch.arange(12), GOLD]
    assert focal.item() == pytest.approx(float((-((1 - right) ** 2) * right.log()).sum()))


def test_a_rare_label_s_yes_counts_as_much_as_its_no() -> None:
    task = TASKS["multilabel"]
    examples = [Example("x", gold=("a",) if n == 0 else ()) for n in range(4)]
    shape = task.shape_loss(LossConfig(class_weights="balanced"), examples, ("a",))
    logits = torch.zeros(4, 1, requires_grad=True)
    gold = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    task.loss(logits, gold, shape).backward()
    assert logits.grad is not None
    assert float(logits.grad.sum()) == pytest.approx(0)


def test_options_are_refused_where_they_mean_nothing() -> None:
    assert TASKS["ner"].shape_loss(LossConfig(), [], ()) is PLAIN
    with pytest.raises(AlbertError, match="label_smoothing") as caught:
        TASKS["regression"].shape_loss(LossConfig(label_smoothing=0.1), [], ())
    assert caught.value.kind is ErrorKind.CONFIG
    for bad in ({"focal": -1.0}, {"label_smoothing": 1.0}):
        with pytest.raises(AlbertError, match=next(iter(bad))):
            LossConfig(**bad)
    assert balanced_weights(np.array([2, 0])).isfinite().all()
