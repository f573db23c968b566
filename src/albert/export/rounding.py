"""Rounding of weights that keeps what layers compute, rather than the weights themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from albert.data.batches import Features, inference_batches
from albert.model import AlbertForTask

_TOKENS = 4096  # of a batch
_DAMPING = 0.003  # of the mean diagonal, where inputs are few or alike


@torch.inference_mode()
def input_products(model: AlbertForTask, texts: Features) -> dict[str, Tensor]:
    """For each linear layer by name: XᵀX over its inputs X at all depths, [inputs, inputs] in float64."""
    products: dict[str, Tensor] = {}
    mask = torch.ones(0)

    def watch(name: str, layer: nn.Linear) -> torch.utils.hooks.RemovableHandle:
        def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            (given,) = inputs
            rows = given[mask] if given.shape[:2] == mask.shape else given.reshape(-1, given.shape[-1])
            products[name] = products.get(name, torch.zeros(())) + rows.T.double() @ rows.double()

        return layer.register_forward_pre_hook(add)

    handles = [watch(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    try:
        for indices in inference_batches(texts.lengths, max_tokens=_TOKENS):
            batch = texts.batch(indices)
            mask = batch.attention_mask.bool()
            model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids)
    finally:
        for handle in handles:
            handle.remove()
    return products


def rounded(weights: Tensor, scales: Tensor, product: Tensor, *, most: int = 127) -> Tensor:
    """Whole numbers for [outputs, inputs], of which each row has a scale; `product` is XᵀX over the layer's inputs.

    Columns are rounded one by one, those of the largest inputs first. The later ones make good what an earlier one
    changes in the outputs (GPTQ; Frantar et al. 2023, algorithm 1).
    """
    order = product.diagonal().argsort(descending=True)
    damped = product + torch.eye(len(product)) * product.diagonal().mean().clamp_min(1e-12) * _DAMPING
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped[order][:, order]))
    shares = torch.linalg.cholesky(inverse, upper=True).float()
    left = weights[:, order].float() / scales[:, None]
    whole = torch.zeros_like(left)
    for column, share in enumerate(shares):
        whole[:, column] = left[:, column].round().clamp(-most, most)
        error = (left[:, column] - whole[:, column]) / share[column]
        left[:, column + 1 :] -= error[:, None] * share[None, column + 1 :]
    return whole[:, order.argsort()]
