"""Few rows a label: the encoder learns which texts belong together, and a linear head on vectors learns the labels.

Source: Tunstall et al. 2022 (SetFit), section 3. There pairs of texts are drawn. Here all pairs of a batch are
compared, by the loss that our models for similarity have. The vector is the mean of the last hidden states. The head
is a logistic regression, put into the pooler and the head of an ordinary classifier: the pooler's weights are so near
to zero that its tanh is the identity.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from albert.config import AlbertConfig
from albert.data.batches import Batch, Features
from albert.engine import Engine
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import Attempts, DevScores, FinetuneResult, TaskObjective
from albert.finetuning.dataset import Dataset, FinetuneConfig
from albert.model import AlbertForTask
from albert.tasks.base import Output
from albert.tasks.similarity import SCALE
from albert.training.best import best_scores

ENOUGH = 16  # rows a label from which on the head is learned with the network (docs/hybrids.md)
_SMALL = 0.02  # the pooler's weight: values of a normalised state stay where tanh is the identity to 1e-4
_PENALTY = 1.0  # scikit-learn's C, SetFit's choice
# All pairs of a batch are compared, so an epoch shows each text many others; the best epoch on dev is kept.
SETTINGS: dict[str, Any] = {"lr": 1e-4, "epochs": 10.0, "batch_size": 32, "patience": 3}


def rows_a_label(data: Dataset) -> float:
    """The median number of training rows per label."""
    assert isinstance(data.train.gold, np.ndarray)
    counts = Counter(data.train.gold[data.train.example_bounds()[:-1]].tolist())
    return float(np.median([counts.get(label, 0) for label in range(len(data.labels))]))


def wanted(config: FinetuneConfig, start: AlbertConfig | None, data: Dataset) -> bool:
    """Whether labels are learned on vectors: as the option says, else if there are few rows and nothing prevents it.

    Raises `AlbertError` (usage) where it is asked for and cannot be.
    """
    if config.few_labels is False:
        return False
    against = _against(config, start, data)
    if config.few_labels and against:
        raise AlbertError(
            ErrorKind.USAGE, "--few-labels", expected="one label a single text, and a model to start from", got=against
        )
    return not against and (config.few_labels is True or rows_a_label(data) < ENOUGH)


def _against(config: FinetuneConfig, start: AlbertConfig | None, data: Dataset) -> str:
    """The reason against vectors, in words; "" if there is none."""
    if start is None:
        return "a network from scratch"
    if data.task.problem_type != "single_label_classification" or data.task.head != "sequence_classification":
        return f"task {data.task.name}"
    if data.columns.text_pair is not None:
        return "pairs of texts"
    if data.lengths.stride is not None or start.attention_window is not None:
        return "windows of text or of attention"
    return "--early-exit" if config.early_exit else "teachers" if config.teachers else ""


class PairObjective(TaskObjective):
    """Texts of the same label shall have a higher cosine than texts of two labels (CoSENT, Su 2022), within a batch."""

    def loss(self, logits: Float[Tensor, "batch hidden"], gold: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """The loss over all pairs of a batch, times its texts."""
        units = torch.nn.functional.normalize(logits.float(), dim=1)
        first, second = torch.triu_indices(len(gold), len(gold), 1, device=logits.device)
        cosines = SCALE * (units[first] * units[second]).sum(1)
        same = gold[first] == gold[second]
        wrong = cosines[~same][None, :] - cosines[same][:, None]
        return len(gold) * torch.cat([wrong.new_zeros(1), wrong.flatten()]).logsumexp(0)

    def counts(self, batch: Batch) -> dict[str, int]:
        """The texts of a batch."""
        assert batch.gold is not None
        return {"loss": len(batch.gold)}


@dataclass(frozen=True)
class Head:
    """A logistic regression on vectors."""

    weights: Float[np.ndarray, "labels hidden"]
    bias: Float[np.ndarray, " labels"]

    @classmethod
    def fitted(cls, vectors: Float[np.ndarray, "texts hidden"], gold: Int[np.ndarray, " texts"], labels: int) -> Head:
        """Fits the head on these vectors. A label without rows is never predicted."""
        from sklearn.linear_model import LogisticRegression

        own = np.unique(gold)
        if len(own) < 2:
            raise AlbertError(ErrorKind.DATA, "--few-labels", expected="rows of two labels to learn", got="of one")
        model = LogisticRegression(C=_PENALTY, max_iter=500).fit(vectors, gold)
        weights, bias = np.zeros((labels, vectors.shape[1])), np.full(labels, -20.0)
        if len(own) == 2:
            weights[own], bias[own] = np.stack([-model.coef_[0], model.coef_[0]]) / 2, [0.0, model.intercept_[0]]
        else:
            weights[own], bias[own] = model.coef_, model.intercept_
        return cls(weights, bias)

    def put(self, model: AlbertForTask) -> None:
        """Writes it into the pooler and the head of a classifier."""
        assert model.albert.pooler is not None
        with torch.no_grad():
            model.albert.pooler.linear.weight.copy_(_SMALL * torch.eye(self.weights.shape[1]))
            model.albert.pooler.linear.bias.zero_()
            model.head.linear.weight.copy_(torch.from_numpy(self.weights / _SMALL))  # type: ignore[union-attr,operator]
            model.head.linear.bias.copy_(torch.from_numpy(self.bias))  # type: ignore[union-attr,operator]


class VectorScores:
    """Scores on dev of a head fitted on the training rows' vectors."""

    def __init__(self, vectors: AlbertForTask, data: Dataset) -> None:
        self.vectors = vectors
        self.data = data

    def __call__(self) -> dict[str, float]:
        data, head = self.data, self.head()
        logits = self._vectors(data.dev) @ head.weights.T + head.bias
        outputs = Output.each(data.dev_examples, data.dev, list(logits.astype(np.float32)))
        return data.task.score(outputs, data.labels, data.task.tune(outputs, data.labels))

    def head(self) -> Head:
        """The head of the encoder as it is now."""
        assert isinstance(self.data.train.gold, np.ndarray)
        return Head.fitted(self._vectors(self.data.train), self.data.train.gold, len(self.data.labels))

    def _vectors(self, features: Features) -> np.ndarray:
        return np.stack(Engine(self.vectors).logits(features))


def train_few(attempts: Attempts, model: AlbertForTask, *, resume: bool) -> FinetuneResult:
    """Tunes the encoder on pairs, fits the head, and scores the resulting classifier on dev."""
    data = attempts.data
    vectors = AlbertForTask(model.config, "embedding")
    vectors.albert.embeddings, vectors.albert.encoder = model.albert.embeddings, model.albert.encoder
    scores = VectorScores(vectors, data)
    told = (
        f"few rows a label ({rows_a_label(data):g}): texts of a label are drawn together, then a linear head learns "
        "their vectors (--no-few-labels fine-tunes as usual)"
    )
    attempts.progress.on_message(told)
    data.remarks.append(told)
    vectors.to("cuda" if torch.cuda.is_available() else "cpu")
    state = attempts.trainer(vectors, scores).run(resume=resume)
    scores.head().put(model)
    found = DevScores(model, data).evaluated()
    best = best_scores(state, data.task.metric)
    return FinetuneResult(
        attempts.config.out, data.task.metric, {**best, **found.scores}, data.baseline[1], state.step, found.outputs,
        found.thresholds, tuple(state.threads),
    )  # fmt: skip
