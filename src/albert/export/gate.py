"""What a model scores before and after, and the refusal of a form that scores lower."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from albert.data.batches import Features
from albert.errors import AlbertError, ErrorKind
from albert.predict.evaluation import Evaluation
from albert.predict.predictor import Predictor

_SAMPLE = 256  # texts that show the ranges of inputs


@dataclass(frozen=True)
class Export:
    """The file that was written, and the scores before and after on the metric of the model's task."""

    path: Path
    metric: str
    before: float
    after: float


def sample(predictor: Predictor, evaluation: Evaluation) -> Features:
    """Some of the texts of an evaluation, for the ranges of int8; seed 0 draws them."""
    examples = [output.example for output in evaluation.facts.outputs]
    features, _ = predictor.features(random.Random(0).sample(examples, min(_SAMPLE, len(examples))))
    return features


def passed(
    what: str, path: Path, before: Evaluation, after: Evaluation, *, budget: float, force: bool, instead: str
) -> Export:
    """The scores. Raises `AlbertError` (bad-model) if they fall by more than `budget`, unless `force` is given.

    `what` names the form and the model in the error, and `instead` is another form to take.
    """
    done = Export(path, before.metric, before.scores[before.metric], after.scores[before.metric])
    if done.before - done.after > budget and not force:
        raise AlbertError(
            ErrorKind.MODEL,
            what,
            expected=f"{done.metric} at most {budget:g} below {done.before:.4f}",
            got=f"{done.after:.4f}",
            hint=f"stay with {instead}, or accept it with --force",
        )
    return done
