"""Scores on held-out documents: filling masks, and the order of segments."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from albert.compute.precision import Precision, autocast, resolve_precision
from albert.model import AlbertForTask
from albert.pretraining.objective import PretrainingBatch, PretrainingObjective
from albert.training.world import World


@torch.inference_mode()
def held_out_scores(
    model: AlbertForTask,
    batches: Sequence[PretrainingBatch],
    *,
    precision: Precision = "auto",
    world: World | None = None,
) -> dict[str, float]:
    """Scores over the batches of all ranks.

    Loss, accuracy and perplexity of masked pieces; loss and accuracy of the order; and "cls_spread". This is the
    standard deviation over texts of each unit of the pooled vector, averaged over units. It is near 0 if [CLS] is the
    same for every text.
    """
    world = world or World()
    objective = PretrainingObjective()
    training = model.training
    model.eval()
    names = ("mlm", "sop", "mlm_count", "sop_count", "mlm_right", "sop_right")
    totals, pooled = dict.fromkeys(names, 0.0), []
    for batch in batches:
        with autocast(resolve_precision(precision, world.device), world.device):
            sums, right, vectors = objective.judge(model, batch)
        pooled.append(vectors.float())
        for name, count in objective.counts(batch).items():
            totals[name] += float(sums[name])
            totals[f"{name}_count"] += count
            totals[f"{name}_right"] += right[name]
    model.train(training)
    totals = world.sum(totals)
    mlm, sop = max(totals["mlm_count"], 1), max(totals["sop_count"], 1)
    return {
        "mlm_loss": totals["mlm"] / mlm,
        "perplexity": math.exp(min(totals["mlm"] / mlm, 700)),
        "mlm_accuracy": totals["mlm_right"] / mlm,
        "sop_loss": totals["sop"] / sop,
        "sop_accuracy": totals["sop_right"] / sop,
        "cls_spread": _spread(torch.cat(pooled).double(), world),
    }


def _spread(vectors: Float[Tensor, "rows units"], world: World) -> float:
    """The mean over units of their standard deviation over the rows of all ranks."""
    sums = torch.cat([vectors.sum(0), vectors.square().sum(0), vectors.new_tensor([len(vectors)])])
    everywhere = world.sum({str(place): value for place, value in enumerate(sums.tolist())})
    *moments, rows = everywhere.values()
    first, second = torch.tensor(moments, dtype=torch.float64).view(2, -1)
    variance = (second - first.square() / rows).clamp(min=0) / max(rows - 1, 1)
    return float(variance.sqrt().mean())
