"""The learning curves of a run as a picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from albert.storage.stored import read_records

_WINDOW = 50  # the steps over which a training loss is averaged


def draw_curves(metrics: Path) -> bytes | None:
    """The losses and accuracies of `metrics.jsonl` as a PNG; None if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    records = [record for _, record in read_records(metrics)]
    steps = [record for record in records if "loss" in record]
    dev = [(record["step"], record["dev"]) for record in records if "dev" in record]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    term = "mlm" if steps and "mlm" in steps[0] else "loss"
    window = max(1, min(_WINDOW, len(steps) // 10))
    smooth = np.convolve([record.get(term, record["loss"]) for record in steps], np.ones(window) / window, "valid")
    left.plot([record["step"] for record in steps][window - 1 :], smooth, label=f"training {term}")
    for axis, kind in ((left, "loss"), (right, "accuracy")):
        for name in dev[0][1] if dev else ():
            if kind in name and name != "sop_loss":
                axis.plot([at for at, _ in dev], [scores[name] for _, scores in dev], "o-", ms=3, label=f"dev {name}")
        axis.set(xlabel="step", ylabel=kind)
        axis.grid(alpha=0.3)
        axis.legend()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110)
    return picture.getvalue()
