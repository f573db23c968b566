"""Training a head behind every depth, and where on dev it is safe to leave."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from albert.data.batches import Batch
from albert.engine.early_exit import EXITING_HEADS, every_depth
from albert.engine.forward import MAX_TOKENS
from albert.engine.packed import PackedModel
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask
from albert.tasks.base import Output, Task
from albert.training.attempts import FinetuneResult, TaskObjective
from albert.training.dataset import Dataset

_CANDIDATES = 60  # thresholds tried


@dataclass(frozen=True)
class Exit:
    """A threshold (None: nobody leaves), what dev scores with it, and the mean depth at which its texts leave."""

    threshold: float | None
    score: float
    depth: float
    depths: int  # of the network

    def in_words(self, metric: str, full: float) -> str:
        """What leaving early costs and saves."""
        return (
            f"early exit: texts leave at depth {self.depth:.2f} of {self.depths} on average, dev {metric} "
            f"{self.score:.4f} ({full:.4f} at full depth)"
        )


class ExitObjective(TaskObjective):
    """The task's loss behind every depth; that of depth d counts d (PABEE, Zhou et al. 2020, section 3.3)."""

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
            losses.append(depth * self.task.loss(logits, gold, self.shape))  # type: ignore[arg-type]
        return {"loss": torch.stack(losses).sum() / sum(range(1, len(losses) + 1))}


def require_exits(task: Task) -> None:
    """Raises `AlbertError` (usage) for a family whose texts do not leave one by one."""
    if task.head not in EXITING_HEADS:
        raise AlbertError(
            ErrorKind.USAGE, "--early-exit", expected="labels, numbers or entities to learn", got=f"task {task.name}"
        )


def choose_exit(model: AlbertForTask, data: Dataset, result: FinetuneResult, *, budget: float) -> Exit:
    """The threshold of the least mean depth at which dev scores at most `budget` less than at full depth."""
    packed = PackedModel(copy.deepcopy(model).cpu().eval(), "fp32")
    by_depth, sure = every_depth(packed, data.dev, max_tokens=MAX_TOKENS)
    full = _at(by_depth, np.full(len(data.dev), len(by_depth)), None, data, result)
    found = full
    for threshold in np.unique(np.quantile(sure[:-1][np.isfinite(sure[:-1])], np.linspace(0, 1, _CANDIDATES))):
        left = np.argmax(np.vstack([sure[:-1] >= threshold, np.ones(sure.shape[1], bool)]), axis=0) + 1
        tried = _at(by_depth, left, float(threshold), data, result)
        if tried.score >= full.score - budget and tried.depth < found.depth:
            found = tried
    return found


def _at(
    by_depth: list[list[np.ndarray]], left: np.ndarray, threshold: float | None, data: Dataset, result: FinetuneResult
) -> Exit:
    """What dev scores with every row's logits from where it left."""
    logits = [by_depth[depth - 1][row] for row, depth in enumerate(left.tolist())]
    outputs = Output.each(data.dev_examples, data.dev, logits)
    score = data.task.score(outputs, data.labels, result.thresholds)[data.task.metric]
    return Exit(threshold, score, float(left.mean()), len(by_depth))
