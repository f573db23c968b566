"""The best evaluation of a run, and its weights on disk: found, checked, and loaded into the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from albert.errors import AlbertError, ErrorKind
from albert.training.state import BEST, LAST, Checkpoints, RunState


def merit(scores: dict[str, float], metric: str) -> tuple[float, float]:
    """The sort key of an evaluation: the metric, and among equal ones the lower loss."""
    return scores[metric], -scores.get("loss", 0.0)


def best_scores(state: RunState, metric: str) -> dict[str, float]:
    """The best scores of a run, of equal ones the first."""
    return max((entry["scores"] for entry in state.evaluations), key=lambda scores: merit(scores, metric))


def merits(state: RunState, metric: str | None) -> list[tuple[float, float]]:
    """The merit of every evaluation so far; none without a metric."""
    return [merit(entry["scores"], metric) for entry in state.evaluations] if metric else []


def out_of_patience(state: RunState, metric: str | None, patience: int) -> bool:
    """Whether the last `patience` evaluations (0: no limit) brought no better score."""
    seen = merits(state, metric)
    return 0 < patience < len(seen) and max(seen[-patience:]) <= max(seen[:-patience])


def best_step(state: RunState, metric: str | None) -> int | None:
    """The step of the best evaluation, the first among equal ones. None without a metric or evaluations."""
    if metric is None or not state.evaluations:
        return None
    best = max(state.evaluations, key=lambda entry: merit(entry["scores"], metric))
    return int(best["step"])


def newest_with_its_best(checkpoints: Checkpoints, metric: str | None, tell: Callable[[str], None]) -> Path | None:
    """The newest checkpoint whose best weights so far are also intact.

    If they are damaged, the run goes back to before them and makes them again. Otherwise the last weights would be
    reported with the scores of the best. `tell` gets a sentence about each checkpoint that is skipped.
    """
    for path in checkpoints.whole(LAST):
        step = best_step(Checkpoints.state(path), metric)
        damage = None if step is None else checkpoints.damage(checkpoints.at(BEST, step))
        if damage is None:
            return path
        tell(
            f"the best weights, of step {step}, are damaged ({damage}): going back from {path.name} to make them again"
        )
    return None


def keep_best(checkpoints: Checkpoints, state: RunState, metric: str | None, model: nn.Module) -> None:
    """Gives the model its best weights. Raises `AlbertError` (bad-model) if they are damaged."""
    step = best_step(state, metric)
    if step is None:
        return
    path = checkpoints.at(BEST, step)
    if damage := checkpoints.damage(path):
        raise AlbertError(
            ErrorKind.MODEL,
            f"{path}: the best weights are damaged",
            expected="those that were saved",
            got=damage,
            hint="repeat the command with --resume: it goes back and makes them again",
        )
    Checkpoints.restore(path, model, None)
