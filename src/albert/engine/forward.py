"""Logits for a whole set of encoded examples, in their own order."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from albert.compute import windowed
from albert.compute.covers import covers, unknown
from albert.compute.packed import Packed, PackedModel
from albert.compute.precision import Precision, resolve_precision
from albert.compute.quantized import Calibration
from albert.data.batches import Batch, Features, inference_batches
from albert.engine.buckets import BucketedModel
from albert.engine.early_exit import EarlyExit, Exits
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask

MAX_TOKENS = 8192  # a batch: past the point where larger ones run faster


class Engine:
    """A model prepared for inference in one precision. Later changes of the model's weights may not affect it.

    On a CPU it is the packed forward pass if that covers the network, else the reference on padded batches.
    """

    def __init__(
        self,
        model: AlbertForTask,
        precision: Precision = "auto",
        *,
        calibration: Calibration | None = None,
        exit_threshold: float | None = None,
    ) -> None:
        """With a `calibration`, the packed products are in int8 and the values between them in `precision`. With an
        `exit_threshold`, rows leave at the depth where the model is this certain.
        """
        self.model = model
        self.device = next(model.parameters()).device
        self.precision = resolve_precision(precision, self.device)
        fast = self.device.type == "cpu" and covers(model.config, model.head_name, windows=True)
        self.packed = PackedModel(model, self.precision) if fast else None
        self.bucketed = None if self.packed is not None else BucketedModel(model, self.precision)
        self.int8 = self.packed is not None and calibration is not None
        if self.packed is not None and calibration is not None:
            self.packed.quantize(calibration)
        self.early = None
        if self.packed is not None and exit_threshold is not None:
            self.early = EarlyExit(self.packed, exit_threshold)

    def logits(self, features: Features, *, max_tokens: int = MAX_TOKENS) -> list[np.ndarray]:
        """Each row's logits as float32, in the order of `features`, computed in length-sorted batches.

        They are [labels], or [pieces, labels] without padding if the head has logits at every piece. The model's
        training mode is kept; dropout is off during the call.
        """
        return self.exits(features, max_tokens=max_tokens).logits

    def exits(self, features: Features, *, max_tokens: int = MAX_TOKENS) -> Exits:
        """The same, with the depth at which each row left; without early exit the last depth."""
        was_training = self.model.training
        if was_training:  # going through all modules takes a third of a short text's time
            self.model.eval()
        try:
            if self.early is not None:
                return self.early.logits(features, max_tokens=max_tokens)
            rows = [np.zeros(0, np.float32)] * len(features)
            batches = inference_batches(features.lengths, max_tokens=max_tokens)
            for indices, said in zip(batches, self._batches(features, batches), strict=True):
                for index, row in zip(indices, said, strict=True):
                    rows[index] = row
        finally:
            if was_training:
                self.model.train()
        return Exits(rows, np.full(len(features), self.model.config.num_hidden_layers))

    def states(self, features: Features) -> list[np.ndarray]:
        """Each row's last hidden states as float32, [pieces, hidden], computed together."""
        if self.bucketed is not None:
            return self.bucketed.states(features)
        assert self.packed is not None
        lengths = features.lengths
        order = np.argsort(-lengths, kind="stable")
        found = self.packed.states(Packed(*features.flat(order), lengths[order]))
        return [found[place] for place in np.argsort(order)]

    def _batches(self, features: Features, batches: list[np.ndarray]) -> Iterable[list[np.ndarray]]:
        lengths = features.lengths
        if self.packed is not None:
            return (self.packed.logits(Packed(*features.flat(indices), lengths[indices])) for indices in batches)
        assert self.bucketed is not None
        return self.bucketed.logits(features, batches)


def calibrate(model: AlbertForTask, features: Features, *, max_tokens: int = MAX_TOKENS) -> Calibration:
    """The ranges of all inputs of products over these texts, in float32, as int8 needs them.

    Raises `AlbertError` (bad-model) for a network that int8 does not cover.
    """
    engine = Engine(model, "fp32")
    if engine.packed is None:
        got = ", ".join(unknown(model.config, model.head_name)) or f"one on {engine.device.type}"
        raise AlbertError(ErrorKind.MODEL, "int8", expected="a network on a CPU that the fast forms cover", got=got)
    watched = engine.packed.watch()
    engine.logits(features, max_tokens=max_tokens)
    return [{name: product.ranges() for name, product in block.items()} for block in watched]


def batch_logits(model: AlbertForTask, batch: Batch, device: torch.device) -> Tensor:
    """The model's logits for one batch on `device`, with gradients: attention in windows goes block by block."""
    return windowed.task_logits(
        model,
        batch.input_ids.to(device),
        attention_mask=batch.attention_mask.to(device),
        token_type_ids=batch.token_type_ids.to(device),
    )
