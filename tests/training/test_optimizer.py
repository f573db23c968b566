from __future__ import annotations

import copy
import math

import pytest
import torch

from albert.errors import AlbertError
from albert.model import AlbertForTask
from albert.training.optimizer import Lamb, OptimizerConfig, build_optimizer, decay_exponent, role_of
from conftest import small_config


def google_lamb(
    weight: torch.Tensor, gradients: list[torch.Tensor], *, lr: float, decay: float, adapt: bool
) -> torch.Tensor:
    """lamb_optimizer.py, line by line, in float64."""
    w, m, v = weight.double(), torch.zeros_like(weight).double(), torch.zeros_like(weight).double()
    for g in (g.double() for g in gradients):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        update = m / (v.sqrt() + 1e-6) + decay * w
        ratio = 1.0
        if adapt and float(w.norm()) > 0 and float(update.norm()) > 0:
            ratio = float(w.norm() / update.norm())
        w = w - lr * ratio * update
    return w


@pytest.mark.parametrize("adapt", [True, False])
@pytest.mark.parametrize("start", ["random", "zero"])
def test_lamb_follows_googles_code(adapt: bool, start: str) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(7, 5, generator=generator) if start == "random" else torch.zeros(7, 5)
    gradients = [torch.randn(7, 5, generator=generator) for _ in range(20)]
    parameter = torch.nn.Parameter(weight.clone())
    decay = 0.01 if adapt else 0.0
    optimizer = Lamb([{"params": [parameter], "adapt": adapt, "weight_decay": decay}], lr=0.1)
    for gradient in gradients:
        parameter.grad = gradient
        optimizer.step()
    expected = google_lamb(weight, gradients, lr=0.1, decay=decay, adapt=adapt)
    assert torch.allclose(parameter.detach().double(), expected, rtol=1e-4, atol=1e-6)


def test_lamb_without_gradients_moves_nothing() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    Lamb([parameter]).step()
    assert parameter.tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["adamw", "lamb"])
def test_both_optimizers_lower_a_loss(name: str) -> None:
    shape = small_config(initializer_range=0.1, classifier_dropout_prob=0.0)
    model = AlbertForTask(shape, "sequence_classification", generator=torch.Generator().manual_seed(0))
    config = OptimizerConfig(optimizer=name, lr=0.003)  # type: ignore[arg-type]
    optimizer = build_optimizer(model, config, groups=1)
    ids = torch.randint(5, 61, (6, 8), generator=torch.Generator().manual_seed(0))
    gold = torch.arange(6) % 3
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids), gold)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


# --- groups ------------------------------------------------------------------------------------------------


def rates(config: OptimizerConfig, **overrides: object) -> dict[str, tuple[float, float]]:
    """(rate, weight decay) by parameter name."""
    shape = small_config(**overrides)
    model = AlbertForTask(shape, "sequence_classification", generator=torch.Generator())
    optimizer = build_optimizer(model, config, groups=shape.num_hidden_groups)
    by_id = {id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    return {name: by_id[id(p)] for name, p in model.named_parameters() if id(p) in by_id}


def test_layer_decay_goes_by_role_when_all_is_shared() -> None:
    table = rates(OptimizerConfig(lr=1.0, layer_decay=0.5))
    assert table["head.linear.weight"][0] == 1
    assert table["albert.pooler.linear.weight"][0] == 0.5
    assert table["albert.encoder.groups.0.0.ffn.inner.weight"][0] == 0.25
    assert table["albert.encoder.mapping.weight"][0] == table["albert.embeddings.word.weight"][0] == 0.125


def test_layer_decay_goes_by_group_within_the_encoder() -> None:
    table = rates(OptimizerConfig(lr=1.0, layer_decay=0.5), num_hidden_groups=4)
    groups = [table[f"albert.encoder.groups.{g}.0.attention.key.weight"][0] for g in range(4)]
    assert groups == [2**-5, 2**-4, 2**-3, 2**-2]
    assert table["albert.embeddings.word.weight"][0] == 2**-6


def test_norms_and_biases_have_no_decay() -> None:
    for name, (_, decay) in rates(OptimizerConfig(weight_decay=0.1)).items():
        assert decay == (0.0 if name.endswith("bias") or ".norm." in name else 0.1), name


def test_every_parameter_has_a_role() -> None:
    model = AlbertForTask(small_config(num_hidden_groups=2), "pretraining")
    roles = {role_of(name) for name, _ in model.named_parameters()}
    assert roles == {("embeddings", 0), ("encoder", 0), ("encoder", 1), ("pooler", 0), ("head", 0)}
    assert decay_exponent("head.mlm.dense.weight", groups=2) == 0


def test_frozen_roles_do_not_learn() -> None:
    table = rates(OptimizerConfig(freeze=("embeddings", "encoder")))
    assert {role_of(name)[0] for name in table} == {"pooler", "head"}


def test_muon_takes_the_matrices_of_the_encoder_and_adamw_the_rest() -> None:
    """Each half is the library's optimiser; a copy steps alone."""
    model = AlbertForTask(small_config(), "pretraining", generator=torch.Generator().manual_seed(0))
    twin = copy.deepcopy(model)
    optimizer = build_optimizer(model, OptimizerConfig(optimizer="muon", lr=1e-2), groups=1)
    copied_model, copied = copy.deepcopy((model, optimizer))
    for parameter, *others in zip(model.parameters(), twin.parameters(), copied_model.parameters(), strict=True):
        parameter.grad = torch.randn_like(parameter)
        for other in others:
            other.grad = parameter.grad.clone()
    copied.step()
    assert torch.equal(model.albert.pooler.linear.weight, twin.albert.pooler.linear.weight)
    optimizer.step()
    matrices = {n: p for n, p in twin.named_parameters() if n.startswith("albert.encoder.groups") and p.ndim == 2}
    torch.optim.Muon(matrices.values(), lr=1e-2, weight_decay=0.01, adjust_lr_fn="match_rms_adamw").step()
    plain = [p for n, p in twin.named_parameters() if n not in matrices and (n.endswith(".bias") or ".norm." in n)]
    rest = [p for n, p in twin.named_parameters() if n not in matrices and not (n.endswith(".bias") or ".norm." in n)]
    torch.optim.AdamW(
        [{"params": plain, "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.01}], lr=1e-2, eps=1e-6
    ).step()
    for other in (twin, copied_model):
        for (name, p), q in zip(model.named_parameters(), other.parameters(), strict=True):
            assert torch.allclose(p, q, atol=1e-6), name


# --- schedule ----------------------------------------------------------------------------------------------


def test_the_rate_rises_and_falls_in_lines() -> None:
    falling = OptimizerConfig(warmup=0.1)
    factors = [falling.rate_at(step, 100) for step in range(101)]
    assert factors[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == 0
    assert all(math.isfinite(OptimizerConfig(warmup=w).rate_at(0, 1)) for w in (0.0, 0.5, 1.0))


def test_the_rate_may_fall_late_or_never() -> None:
    late = OptimizerConfig(warmup=0.1, decay=0.2)
    assert [late.rate_at(step, 100) for step in (4, 10, 50, 80, 90, 100)] == pytest.approx([0.5, 1, 1, 1, 0.5, 0])
    assert OptimizerConfig(warmup=0.1, decay=0.0).rate_at(99, 100) == 1


@pytest.mark.parametrize(
    "bad", [{"lr": -1.0}, {"layer_decay": 0.0}, {"warmup": 2.0}, {"optimizer": "sgd"}, {"freeze": ("head",)}]
)
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(AlbertError, match=next(iter(bad))):
        OptimizerConfig(**bad)  # type: ignore[arg-type]
