"""Rounding that keeps outputs: nearer to them than the nearest numbers are, and those where inputs say nothing."""

from __future__ import annotations

import torch

from albert.config import AlbertConfig
from albert.export.rounding import input_products, rounded
from albert.model import AlbertForTask
from rows import features


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_outputs_change_less_than_by_the_nearest_numbers() -> None:
    weights, scales = drawn(1, 40, 24), torch.full((40,), 0.5)
    inputs = drawn(2, 200, 6) @ drawn(3, 6, 24) + 0.1 * drawn(4, 200, 24)  # much alike
    found, nearest = rounded(weights, scales, (inputs.T @ inputs).double()), (weights / 0.5).round()

    def change(whole: torch.Tensor) -> float:
        return float((inputs @ (whole * 0.5 - weights).T).norm())

    assert torch.equal(found, found.round())
    assert change(found) < 0.6 * change(nearest)


def test_inputs_that_say_nothing_of_each_other_leave_the_nearest_numbers() -> None:
    weights, scales = drawn(0, 5, 7), torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    assert torch.equal(rounded(weights, scales, torch.eye(7).double()), (weights / scales[:, None]).round())
    assert torch.equal(rounded(weights, scales, torch.zeros(7, 7).double()), (weights / scales[:, None]).round())


def test_no_number_is_beyond_the_bound() -> None:
    found = rounded(drawn(0, 4, 9) * 100, torch.full((4,), 0.5), torch.eye(9).double(), most=100)
    assert found.abs().max() == 100


def test_products_are_of_all_depths_and_of_real_pieces_alone() -> None:
    config = AlbertConfig.named("tiny", vocab_size=60, hidden_size=32, num_attention_heads=2, intermediate_size=48,
                                num_hidden_layers=3, id2label=("a", "b"))  # fmt: skip
    model = AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)).eval()
    together = input_products(model, features([3, 9, 5]))
    apart = [input_products(model, features([3, 9, 5]).part(row, row + 1)) for row in range(3)]
    for name, product in together.items():
        torch.testing.assert_close(product, sum(one[name] for one in apart), rtol=1e-4, atol=1e-4)
    assert "head.linear" in together
