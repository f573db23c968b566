"""Joins a linear model on words to a trained network: the weight of each, and when the linear model answers alone.

Both are learned on dev, which neither has read. Scores on dev are cross-fitted: each fifth of it is scored with what
was learned on the other four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from albert.data.examples import Example
from albert.engine import Engine
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import FinetuneResult, rescored
from albert.finetuning.dataset import Dataset, FinetuneConfig
from albert.linear import NAME, fit
from albert.model import AlbertForTask
from albert.predict.words import Words, certainty, hardened, hardener_of, require_words
from albert.tasks.base import Output, Task
from albert.tasks.metrics import sigmoid, softmax
from albert.tasks.stored import StoredCascade, StoredHybrid, StoredTask, noted
from albert.text.encodings import Tokenizer
from albert.training.progress import ConsoleProgress

FOLDS = 5
_GREATEST = 50.0  # of a weight
_LEAST = 1e-12  # probability, so that its logarithm is finite
_HELD = 1e-3  # how strongly weights are held to 1 and 0: decides where dev is tiny or both models are always right
_CANDIDATES = 200  # thresholds tried
FEWEST_ROWS = 20  # of dev
_FEWEST = 0.02  # share of dev below which a cascade is of no use


def gold_of(task: Task, examples: Sequence[Example], labels: Sequence[str]) -> np.ndarray:
    """The examples' labels as ids, as rows of zeros and ones, or their numbers."""
    if task.problem_type == "regression":
        return np.asarray([example.gold for example in examples], np.float64)
    ids = {label: index for index, label in enumerate(labels)}
    if task.problem_type == "single_label_classification":
        return np.asarray([ids[example.gold] for example in examples])
    table = np.zeros((len(examples), len(labels)))
    for row, example in enumerate(examples):
        table[row, [ids[label] for label in example.gold]] = 1
    return table


def fit_words(data: Dataset, tokenizer: Tokenizer) -> Words:
    """The linear model of the training rows, which reads texts as hardened as the network does."""
    task, harden = data.task, hardener_of(tokenizer)
    gold = gold_of(task, data.train_examples, data.labels)
    numbers = task.problem_type == "regression"
    model = fit(hardened(data.train_examples, harden), gold, outputs=len(data.labels), numbers=numbers)
    return Words(model, task.problem_type, harden)


def weigh(kind: str | None, head: np.ndarray, words: np.ndarray, gold: np.ndarray) -> StoredHybrid:
    """The weights of both models' logits, [texts, labels], that make the gold values most likely (numbers: nearest)."""
    if kind == "regression":
        return _least_squares(head[:, 0], words[:, 0], gold)
    from scipy.optimize import minimize

    def cost(weights: np.ndarray) -> float:
        held = (weights[0] - 1) ** 2 + weights[1] ** 2
        return _loss(kind, weights[0] * head + weights[1] * words, gold) + _HELD * float(held)

    found = minimize(cost, np.asarray([1.0, 1.0]), bounds=[(0, _GREATEST)] * 2, method="L-BFGS-B")
    return StoredHybrid(head=float(found.x[0]), words=float(found.x[1]))


def _loss(kind: str | None, logits: np.ndarray, gold: np.ndarray) -> float:
    """The mean negative log-likelihood."""
    if kind == "single_label_classification":
        return -float(np.log(np.maximum(softmax(logits)[np.arange(len(gold)), gold], _LEAST)).mean())
    chances = sigmoid(logits)
    return -float(np.log(np.maximum(np.where(gold > 0, chances, 1 - chances), _LEAST)).mean())


def _least_squares(head: np.ndarray, words: np.ndarray, gold: np.ndarray) -> StoredHybrid:
    from scipy.optimize import nnls

    middles = head.mean(), words.mean(), gold.mean()
    table = np.stack([head - middles[0], words - middles[1]], 1).astype(np.float64)
    (own, other), _ = nnls(table, gold - middles[2])
    if own == other == 0:
        own = 1.0
    shift = middles[2] - own * middles[0] - other * middles[1]
    return StoredHybrid(head=float(own), words=float(other), shift=float(shift))


def folds(rows: int) -> np.ndarray:
    """[rows]: which fifth each is in, by seed 0."""
    return np.random.default_rng(0).permutation(rows) % FOLDS


def require_words_for(config: FinetuneConfig, data: Dataset) -> None:
    """Raises `AlbertError` where --hybrid or --cascade is asked for and cannot be: usage or bad-data."""
    if not (config.hybrid or config.cascade):
        return
    option = "--hybrid" if config.hybrid else "--cascade"
    require_words(data.task, option)
    if config.cascade and data.task.problem_type == "regression":
        raise AlbertError(ErrorKind.USAGE, "--cascade", expected="labels to learn", got=f"task {data.task.name}")
    if len(data.dev_examples) < FEWEST_ROWS:
        raise AlbertError(
            ErrorKind.DATA, f"{option}: dev rows", expected=f"at least {FEWEST_ROWS}, on which weights are learned",
            got=str(len(data.dev_examples)), hint="give more rows, or a larger file with --dev",
        )  # fmt: skip


def add_words(
    model: AlbertForTask,
    tokenizer: Tokenizer,
    config: FinetuneConfig,
    data: Dataset,
    result: FinetuneResult,
    progress: ConsoleProgress,
) -> tuple[FinetuneResult, list[tuple[str, bytes]]]:
    """The result with a linear model beside the network, noted in its config, and the file that holds it, if wanted."""
    if not (config.hybrid or config.cascade):
        return result, []
    progress.on_message(f"a linear model on words and characters of {len(data.train_examples):,} training rows")
    stored = StoredTask.of(model.config.extra, "config.json")
    if stored.early_exit.threshold is not None:  # as the Predictor will compute
        logits = Engine(model, exit_threshold=stored.early_exit.threshold).logits(data.dev)
        result = replace(result, outputs=Output.each(data.dev_examples, data.dev, logits))
    joined = join(
        data,
        result,
        fit_words(data, tokenizer),
        hybrid=config.hybrid,
        cascade=config.cascade,
        budget=config.cascade_budget,
        net=config.cascade_net,
    )
    for sentence in joined.told:
        data.remarks.append(sentence)
        progress.on_message(sentence)
    words, result = joined.words, joined.result
    model.config = noted(model.config, hybrid=words.hybrid, cascade=words.cascade, thresholds=result.thresholds)
    used = words.hybrid is not None or words.cascade is not None
    return result, [(NAME, words.model.to_bytes())] if used else []


@dataclass(frozen=True)
class Joined:
    """The words of a finished run, its result with them, and what was learned, in sentences."""

    words: Words
    result: FinetuneResult
    told: list[str]


def join(
    data: Dataset,
    result: FinetuneResult,
    words: Words,
    *,
    hybrid: bool,
    cascade: bool,
    budget: float,
    net: bool,
) -> Joined:
    """Learns on dev how the linear model is used. The outputs and scores in the result are cross-fitted on dev.

    With a cascade at most the share `budget` of dev gets worse answers. `net`: those that get better ones are
    subtracted first.
    """
    logits = words.logits([output.example for output in result.outputs])
    told = []
    if hybrid:
        words, result, sentence = _hybrid(data, result, words, logits)
        told.append(sentence)
    if cascade:
        words, result, sentence = _cascade(data, result, words, logits, budget, net=net)
        told.append(sentence)
    return Joined(words, result, told)


def _hybrid(
    data: Dataset, result: FinetuneResult, words: Words, logits: np.ndarray
) -> tuple[Words, FinetuneResult, str]:
    task, outputs, kind = data.task, result.outputs, data.task.problem_type
    gold = gold_of(task, [output.example for output in outputs], data.labels)
    head = np.stack([output.pooled for output in outputs])
    whole = weigh(kind, head, logits, gold)
    fold = folds(len(outputs))
    parts = [weigh(kind, head[fold != n], logits[fold != n], gold[fold != n]) for n in range(FOLDS)]
    mixed = [
        replace(words, hybrid=parts[n]).beside(output, row)
        for output, row, n in zip(outputs, logits, fold.tolist(), strict=True)
    ]
    alone = _alone(outputs, logits, scale_of(kind, logits, gold))
    before = _score(data, outputs, result.thresholds)
    joined = rescored(result, data, mixed)
    if joined.scores[task.metric] < before:
        told = (
            f"hybrid: words do not help on dev, {task.metric} {joined.scores[task.metric]:.4f} with them and "
            f"{before:.4f} without; the network answers alone"
        )
        return words, result, told
    sentence = (
        f"hybrid: the head counts {whole.head:.2f}, a linear model on words {whole.words:.2f}, learned on dev; "
        f"dev {task.metric} {joined.scores[task.metric]:.4f} (the network {before:.4f}, "
        f"words {_score(data, alone):.4f})"
    )
    return replace(words, hybrid=whole), joined, sentence


def _cascade(
    data: Dataset, result: FinetuneResult, words: Words, logits: np.ndarray, budget: float, *, net: bool
) -> tuple[Words, FinetuneResult, str]:
    task, outputs, labels = data.task, result.outputs, data.labels
    gold = gold_of(task, [output.example for output in outputs], labels)
    scale = scale_of(task.problem_type, logits, gold)
    alone = _alone(outputs, logits, scale)
    change = _errors(task, alone, labels, result.thresholds) - _errors(task, outputs, labels, result.thresholds)
    worse = change > 0
    sure = certainty(logits, scale, task.problem_type)
    threshold = least_sure(sure, change if net else worse, budget=budget)
    taken = sure >= threshold
    share = float(taken.mean())
    if share < _FEWEST:
        told = f"cascade: words alone are never sure enough for a budget of {budget:g}; the network reads every text"
        return words, result, told
    mixed = [one if own else other for one, other, own in zip(alone, outputs, taken.tolist(), strict=True)]
    before = result.scores[task.metric]
    result = replace(result, outputs=mixed, scores={**result.scores, **task.score(mixed, labels, result.thresholds)})
    sentence = (
        f"cascade: words alone answer {share:.1%} of dev, of which {worse[taken].sum():,} get a worse answer and "
        f"{(change < 0)[taken].sum():,} a better one; dev {task.metric} {result.scores[task.metric]:.4f} "
        f"({before:.4f} where the network reads every text)"
    )
    return replace(words, cascade=StoredCascade(threshold, scale, share)), result, sentence


def least_sure(sure: np.ndarray, worse: np.ndarray, *, budget: float) -> float:
    """The least threshold at which those as sure hold at most the share `budget` of worse answers; else infinity.

    Answers in `worse` below 0 are better and make up for others.
    """
    found = np.inf
    for threshold in np.unique(np.quantile(sure, np.linspace(0, 1, _CANDIDATES)))[::-1]:
        if (worse * (sure >= threshold)).mean() > budget:
            break
        found = float(threshold)
    return float(found)


def scale_of(kind: str | None, logits: np.ndarray, gold: np.ndarray) -> float:
    """The factor of the linear model's logits that calibrates its probabilities."""
    if kind == "regression":
        return 1.0
    from scipy.optimize import minimize_scalar

    def cost(power: float) -> float:
        return _loss(kind, np.exp(power) * logits, gold) + _HELD * power**2

    return float(np.exp(minimize_scalar(cost, bounds=(-4.0, 4.0), method="bounded").x))


def _alone(outputs: Sequence[Output], logits: np.ndarray, scale: float) -> list[Output]:
    """The outputs of the linear model alone for the same examples."""
    scaled = (logits * scale).astype(np.float32)
    return [Output(output.example, [row]) for output, row in zip(outputs, scaled, strict=True)]


def _errors(task: Task, outputs: list[Output], labels: Sequence[str], thresholds: Sequence[float]) -> np.ndarray:
    return np.asarray([verdict.error for verdict in task.review(outputs, labels, thresholds).verdicts])


def _score(data: Dataset, outputs: list[Output], thresholds: Sequence[float] | None = None) -> float:
    own = data.task.tune(outputs, data.labels) if thresholds is None else thresholds
    return data.task.score(outputs, data.labels, own)[data.task.metric]
