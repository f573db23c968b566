"""The loss of pre-training: masked pieces and the order of two segments (sections 3.1 and 4.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from albert.compute import train_step as fast
from albert.compute import windowed
from albert.model import AlbertForTask, AlbertModel
from albert.model.heads import PreTrainingHead
from albert.pretraining.instances import NO_PAIR
from albert.training.cross_entropy import head_cross_entropy


@dataclass(frozen=True)
class PretrainingBatch:
    """Masked sequences and their original pieces. Positions count through the flattened [batch * seq]."""

    input_ids: Int[Tensor, "batch seq"]
    token_type_ids: Int[Tensor, "batch seq"]
    attention_mask: Int[Tensor, "batch seq"]  # 1 real, 0 padding
    masked_positions: Int[Tensor, " masked"]
    masked_ids: Int[Tensor, " masked"]
    order: Int[Tensor, " batch"]  # 0 in order, 1 swapped, NO_PAIR

    @property
    def pieces(self) -> int:
        """The number of pieces without padding."""
        return int(self.attention_mask.sum())

    def to(self, device: torch.device) -> PretrainingBatch:
        """The batch on another device."""
        return PretrainingBatch(**{name: tensor.to(device) for name, tensor in vars(self).items()})


class PretrainingObjective:
    """Cross-entropies by term: "mlm" over masked pieces, "sop" over rows with two segments.

    They are sums, so micro-batches and ranks can be added. The loss is the sum of each over its count, unweighted.
    """

    def __init__(self) -> None:
        self.weights: Mapping[str, float] = {}

    def counts(self, batch: PretrainingBatch) -> dict[str, int]:
        """The divisor of each term's sum."""
        return {"mlm": len(batch.masked_ids), "sop": int((batch.order != NO_PAIR).sum())}

    def sums(self, model: nn.Module, batch: PretrainingBatch) -> dict[str, Float[Tensor, ""]]:
        """Summed cross-entropies in float32, differentiable; `model` is an `AlbertForTask` for pre-training."""
        return _sums(*_encoded(model, batch))

    def correct(self, model: nn.Module, batch: PretrainingBatch) -> dict[str, int]:
        """How many pieces and orders get the highest score for the right answer, out of `counts`."""
        return _correct(*_encoded(model, batch))

    def judge(self, model: nn.Module, batch: PretrainingBatch) -> tuple[dict[str, Tensor], dict[str, int], Tensor]:
        """`sums` and `correct` of one forward pass, and the pooled vectors, [rows, hidden]."""
        encoded = _encoded(model, batch)
        return _sums(*encoded), _correct(*encoded), encoded[-1]


def _encoded(model: nn.Module, batch: PretrainingBatch) -> tuple[AlbertForTask, PretrainingBatch, Tensor, Tensor]:
    """The model, the batch on its device, the hidden states of masked positions, the pooled vectors of rows."""
    assert isinstance(model, AlbertForTask)
    batch = batch.to(model.albert.embeddings.word.weight.device)
    return model, batch, *_encode(model.albert, batch)


def _sums(model: AlbertForTask, batch: PretrainingBatch, masked: Tensor, pooled: Tensor) -> dict[str, Tensor]:
    head, words = _head(model), model.albert.embeddings.word.weight
    if masked.device.type == "cpu":
        mlm = head_cross_entropy(head.mlm, masked, words, batch.masked_ids)
    else:
        mlm = F.cross_entropy(head.mlm(masked, words).float(), batch.masked_ids, reduction="sum")
    sop = F.cross_entropy(head.sop(pooled).float(), batch.order, ignore_index=NO_PAIR, reduction="sum")
    return {"mlm": mlm, "sop": sop}


def _correct(model: AlbertForTask, batch: PretrainingBatch, masked: Tensor, pooled: Tensor) -> dict[str, int]:
    head = _head(model)
    pieces = head.mlm(masked, model.albert.embeddings.word.weight).argmax(1)
    return {
        "mlm": int((pieces == batch.masked_ids).sum()),
        "sop": int((head.sop(pooled).argmax(1) == batch.order).sum()),
    }


def _head(model: AlbertForTask) -> PreTrainingHead:
    assert isinstance(model.head, PreTrainingHead)
    return model.head


def _encode(
    model: AlbertModel, batch: PretrainingBatch
) -> tuple[Float[Tensor, "masked hidden"], Float[Tensor, "batch hidden"]]:
    """The hidden states of masked positions only (a seventh of all), and the pooled vector of each row."""
    assert model.pooler is not None
    if not fast.applies(model) or model.config.pooling != "cls":
        out = windowed.encode(
            model, batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids
        )
        assert out.pooler_output is not None
        return out.last_hidden_state.flatten(0, 1)[batch.masked_positions], out.pooler_output
    rows, seq = batch.input_ids.shape
    read = torch.cat([batch.masked_positions, torch.arange(rows) * seq])
    hidden = fast.encode_positions(model, batch.input_ids, batch.token_type_ids, batch.attention_mask, read)
    masked, first = hidden.split([len(batch.masked_positions), rows])
    return masked, model.pooler(first[:, None], None)
