"""Optimisers, parameter groups with layer-wise decay by role, and the learning-rate schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from albert.errors import AlbertError, ErrorKind, require_ranges


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights are updated.

    `warmup` is the share of all steps over which the rate rises to `lr`. `decay` is the share at the end over which it
    falls linearly to 0; with 1 it falls from the end of the warm-up, with 0 never. `layer_decay` multiplies the rate
    once more at each role further from the output. `freeze` names roles that do not learn: embeddings, encoder, pooler.
    "muon" updates the encoder's matrices; AdamW updates all others at the share `beside_muon` of the rate.
    """

    optimizer: Literal["adamw", "lamb", "muon"] = "adamw"
    lr: float = 5e-5
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-6  # from Google's optimization.py, for both optimisers
    clip: float = 1.0
    warmup: float = 0.1
    decay: float = 1.0
    beside_muon: float = 1.0
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_ranges(
            self,
            ("lr", 0.0, 10.0),
            ("weight_decay", 0.0, 10.0),
            ("layer_decay", 1e-3, 1.0),
            ("beta1", 0.0, 1.0),
            ("beta2", 0.0, 1.0),
            ("eps", 0.0, 1.0),
            ("clip", 1e-6, 1e6),
            ("warmup", 0.0, 1.0),
            ("decay", 0.0, 1.0),
            ("beside_muon", 0.0, 10.0),
        )
        if self.optimizer not in ("adamw", "lamb", "muon"):
            raise AlbertError(ErrorKind.CONFIG, "optimizer", expected="adamw, lamb or muon", got=self.optimizer)
        if not set(self.freeze) <= {"embeddings", "encoder", "pooler"}:
            raise AlbertError(
                ErrorKind.CONFIG,
                "freeze",
                expected="among embeddings, encoder, pooler",
                got=", ".join(self.freeze),
            )

    def rate_at(self, step: int, total: int) -> float:
        """The share of the full rate at `step` (from 0) of `total`: a linear rise, the full rate, a linear fall."""
        rise = round(total * self.warmup)
        if step < rise:
            return (step + 1) / rise
        fall = min(round(total * self.decay), total - rise)
        return min(1.0, (total - step) / fall) if fall else 1.0


class Lamb(torch.optim.Optimizer):
    """LAMB as the published models were trained: no bias correction, no clamp on the trust ratio.

    A group with `adapt=False` (LayerNorm, biases) has ratio 1. Source: google-research/albert,
    lamb_optimizer.py; You et al., arXiv 1904.00962.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1.76e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "adapt": True}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients in `.grad`."""
        assert closure is None, "no closure is supported"
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                mean = state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
                square = state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
                update = mean / square.sqrt().add_(group["eps"])
                update.add_(parameter, alpha=group["weight_decay"])
                if group["adapt"]:
                    weight_norm, update_norm = parameter.norm(), update.norm()
                    ratio = torch.where((weight_norm > 0) & (update_norm > 0), weight_norm / update_norm, 1.0)
                    update.mul_(ratio)  # stays on the device, without waiting for it
                parameter.add_(update, alpha=-group["lr"])


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for the groups marked "orthogonal", AdamW for the others, as one optimiser.

    Muon's rate is matched to AdamW's update size, so both share one. Source: Jordan et al. 2024; Liu et al.,
    arXiv 2502.16982.
    """

    def __init__(self, groups: list[dict[str, Any]], *, betas: tuple[float, float], eps: float) -> None:
        matrices = [group for group in groups if group["orthogonal"]]
        others = [group for group in groups if not group["orthogonal"]]
        self.parts = (
            torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, betas=betas, eps=eps, fused=True),
        )
        super().__init__([group for part in self.parts for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update from the gradients in `.grad`."""
        assert closure is None, "no closure is supported"
        for part in self.parts:
            part.step()
            self.state.update(part.state)

    def __getstate__(self) -> dict[str, Any]:  # a copy of a torch optimiser keeps none of its other attributes
        return {**super().__getstate__(), "parts": self.parts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads the state of both optimisers."""
        super().load_state_dict(state_dict)
        first = len(self.parts[0].param_groups)
        for part, groups in zip(self.parts, (self.param_groups[:first], self.param_groups[first:]), strict=True):
            part.param_groups = groups
            part.state.update({p: self.state[p] for group in groups for p in group["params"] if p in self.state})


def role_of(name: str) -> tuple[str, int]:
    """A parameter's role and, in the encoder, its group: ("encoder", 2) for the third group's weights."""
    if name.startswith(("albert.embeddings.", "albert.encoder.mapping.")):
        return "embeddings", 0
    if name.startswith("albert.encoder.groups."):
        return "encoder", int(name.split(".")[3])
    if name.startswith("albert.pooler."):
        return "pooler", 0
    return "head", 0


def decay_exponent(name: str, *, groups: int) -> int:
    """The power of `layer_decay`: head 0, pooler 1, the last group 2, each group below one more, then the embeddings.

    Shared layers have no depth of their own, so the decay goes by role and by group (ALBERT, section 4.5).
    """
    role, group = role_of(name)
    return {"head": 0, "pooler": 1, "encoder": 2 + groups - 1 - group, "embeddings": 2 + groups}[role]


def build_optimizer(model: nn.Module, config: OptimizerConfig, *, groups: int) -> torch.optim.Optimizer:
    """The optimiser over all parameters that learn. LayerNorms and biases have no decay and no adaptation.

    Every group keeps its own full rate as "peak_lr", which `set_rate` scales.
    """
    table: dict[tuple[int, bool, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if role_of(name)[0] in config.freeze:
            parameter.requires_grad_(False)
            continue
        plain = name.endswith(".bias") or ".norm." in name
        matrix = config.optimizer == "muon" and role_of(name)[0] == "encoder" and parameter.ndim == 2
        table.setdefault((decay_exponent(name, groups=groups), plain, matrix), []).append(parameter)
    parameter_groups = []
    for (exponent, plain, matrix), parameters in sorted(table.items(), key=lambda entry: entry[0]):
        rate = config.lr * config.layer_decay**exponent
        if config.optimizer == "muon" and not matrix:
            rate *= config.beside_muon
        parameter_groups.append(
            {
                "params": parameters,
                "lr": rate,
                "peak_lr": rate,
                "weight_decay": 0.0 if plain else config.weight_decay,
                **({"adapt": not plain} if config.optimizer == "lamb" else {}),
                **({"orthogonal": matrix} if config.optimizer == "muon" else {}),
            }
        )
    betas = (config.beta1, config.beta2)
    if config.optimizer == "lamb":
        return Lamb(parameter_groups, betas=betas, eps=config.eps)
    if config.optimizer == "muon":
        return MuonWithAdamW(parameter_groups, betas=betas, eps=config.eps)
    return torch.optim.AdamW(parameter_groups, betas=betas, eps=config.eps, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Sets every group's rate to `factor` of its full one."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
