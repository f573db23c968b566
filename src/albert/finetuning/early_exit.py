"""Trains a head behind every depth, and chooses on dev where texts may leave."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from albert.compute.packed import PackedModel
from albert.data.batches import Batch
from albert.engine.early_exit import EXITING_HEADS, every_depth
from albert.engine.forward import MAX_TOKENS
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import FinetuneResult, TaskObjective
from albert.finetuning.dataset import Dataset
from albert.finetuning.temperature import scale_exits
from albert.model import AlbertForTask
from albert.tasks.base import Output, Task

Logits = list[np.ndarray]  # one per row
_CANDIDATES = 60  # the number of thresholds that are tried


@dataclass(frozen=True)
class Exit:
    """A threshold (None: no text leaves early), the score on dev with it, and the mean depth at which texts leave."""

    threshold: float | None
    score: float
    depth: float
    depths: int  # the number of layers of the network

    def in_words(self, metric: str, full: float) -> str:
        """The cost and the saving of early exit, in words."""
        return (
            f"early exit: texts leave at depth {self.depth:.2f} of {self.depths} on average, dev {metric} "
            f"{self.score:.4f} ({full:.4f} at full depth)"
        )


class ExitObjective(TaskObjective):
    """The task's loss behind every depth. The loss of depth d has the weight d (PABEE, Zhou et al.
    2020, section 3.3).
    """

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The weighted mean over the depths of a micro-batch's summed losses."""
        assert isinstance(model, AlbertForTask)
        assert model.exits is not None
        assert batch.gold is not None
        device = model.albert.embeddings.word.weight.device
        mask, gold = batch.attention_mask.to(device), batch.gold.to(device)
        depths = model.albert.depths(
            batch.input_ids.to(device), attention_mask=mask, token_type_ids=batch.token_type_ids.to(device)
        )
        losses = []
        for depth, (hidden, head) in enumerate(zip(depths, [*model.exits, model.head], strict=True), 1):
            pooled = None if model.albert.pooler is None else model.albert.pooler(hidden, mask)
            logits = model.read(hidden, pooled, mask, head=head)
            losses.append(depth * self.loss(logits, gold))  # type: ignore[arg-type]
        return {"loss": torch.stack(losses).sum() / sum(range(1, len(losses) + 1))}


def require_exits(task: Task) -> None:
    """Raises `AlbertError` (usage) for a task whose texts cannot leave one by one."""
    if task.head not in EXITING_HEADS:
        raise AlbertError(
            ErrorKind.USAGE, "--early-exit", expected="labels, numbers or entities to learn", got=f"task {task.name}"
        )


def choose_exit(model: AlbertForTask, data: Dataset, result: FinetuneResult, *, budget: float) -> Exit:
    """Chooses the threshold at which at most the share `budget` of the dev texts gets a worse answer than at full
    depth, after the heads before the last depth got their temperature.

    The fall of the score would be misleading: answers that become better by chance hide as many worse ones, and on
    other texts they may not occur. For numbers, which all change a little, the fall of the score is used.
    """

    def read() -> tuple[list[Logits], np.ndarray]:
        packed = PackedModel(copy.deepcopy(model).cpu().eval(), "fp32")
        return every_depth(packed, data.dev, max_tokens=MAX_TOKENS)

    by_depth, sure = read()
    if scale_exits(model, data, result, by_depth):
        by_depth, sure = read()
    task, labels, thresholds = data.task, data.labels, result.thresholds

    def outputs(logits: Logits) -> list[Output]:
        return Output.each(data.dev_examples, data.dev, logits)

    def score(logits: Logits) -> float:
        return task.score(outputs(logits), labels, thresholds)[task.metric]

    def errors(logits: Logits) -> np.ndarray:
        return np.asarray([verdict.error for verdict in task.review(outputs(logits), labels, thresholds).verdicts])

    whole, full = errors(by_depth[-1]), score(by_depth[-1])

    def cost(logits: Logits) -> float:
        if task.problem_type == "regression":
            return full - score(logits)
        return float(np.mean(errors(logits) > whole))

    threshold, left = least_depth(by_depth, sure, cost, budget=budget)
    return Exit(threshold, score(left_at(by_depth, left)), float(left.mean()) + 1, len(by_depth))


def least_depth(
    by_depth: list[Logits], sure: Float[np.ndarray, "depths rows"], cost: Callable[[Logits], float], *, budget: float
) -> tuple[float | None, Int[np.ndarray, " rows"]]:
    """The threshold with the least mean depth at which all rows' logits cost at most `budget`, and the depths, from 0.

    The first two arguments are the results of `every_depth`.
    """
    found: tuple[float | None, np.ndarray] = None, np.full(sure.shape[1], len(by_depth) - 1)
    known = sure[:-1][np.isfinite(sure[:-1])]
    if not len(known):  # a network of one depth has no exits
        return found
    for threshold in np.unique(np.quantile(known, np.linspace(0, 1, _CANDIDATES))):
        left = leaving(sure, float(threshold))
        if left.mean() < found[1].mean() and cost(left_at(by_depth, left)) <= budget:
            found = float(threshold), left
    return found


def leaving(sure: Float[np.ndarray, "depths rows"], threshold: float) -> Int[np.ndarray, " rows"]:
    """The depth (from 0) at which each row leaves: the first where it is this sure, else the last."""
    return np.argmax(np.vstack([sure[:-1] >= threshold, np.ones(sure.shape[1], bool)]), axis=0)


def left_at(by_depth: list[Logits], depths: np.ndarray) -> Logits:
    """Each row's logits from the depth (from 0) at which it left."""
    return [by_depth[depth][row] for row, depth in enumerate(depths.tolist())]
