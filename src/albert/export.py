"""Models in other forms: int8 for the engine, refused where it costs too much."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from albert.data.reading import Reading
from albert.engine import Engine, calibrate
from albert.engine.quantized import INT8, save_ranges
from albert.errors import AlbertError, ErrorKind, require_share
from albert.files import require_output
from albert.hub import model_folder
from albert.predictor import Predictor

_SAMPLE = 256  # texts that show the ranges


@dataclass(frozen=True)
class Export:
    """What a model scored before and after, on the metric of its task."""

    path: Path
    metric: str
    before: float
    after: float


def export_int8(
    model: str | Path,
    dev: str | Path,
    *,
    budget: float = 0.005,
    force: bool = False,
    label: str | None = None,
    reading: Reading | None = None,
) -> Export:
    """Calibrates int8 on texts of a labelled file and stores it in the model's folder if it scores there as before.

    Raises `AlbertError`: bad-model when the score falls by more than `budget` and `force` is not given (nothing is
    written then), bad-data for bad rows, usage for a budget that is no share of 1.
    """
    require_share("--budget", budget)
    folder = model_folder(model)
    require_output(folder / INT8)
    predictor = Predictor.load(folder, precision="fp32", early_exit=False)
    options = (reading or Reading()).reading()
    before = predictor.evaluate(dev, label=label, **options)
    examples = [output.example for output in before.facts.outputs]
    sample = random.Random(0).sample(examples, min(_SAMPLE, len(examples)))
    features, _ = predictor.task.features(predictor.tokenizer, sample, predictor.lengths)
    calibration = calibrate(predictor.model, features)
    predictor.engine = Engine(predictor.model, calibration=calibration)
    after = predictor.evaluate(dev, label=label, **options)
    metric = before.metric
    scores = before.scores[metric], after.scores[metric]
    if scores[0] - scores[1] > budget and not force:
        raise AlbertError(
            ErrorKind.MODEL,
            f"int8 of {folder}",
            expected=f"{metric} at most {budget:g} below {scores[0]:.4f}",
            got=f"{scores[1]:.4f}",
            hint="stay with bf16, or accept it with --force",
        )
    told = {"metric": metric, "before": f"{scores[0]:.6f}", "after": f"{scores[1]:.6f}", "dev": Path(dev).name}
    save_ranges(folder / INT8, calibration, told)
    return Export(folder / INT8, metric, *scores)
