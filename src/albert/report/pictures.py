"""The report's pictures: curves, intervals, matrices and diagrams, each with a description in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from albert.report.svg import FIRST, INK, MUTED, PAPER, SECOND, inline
from albert.tasks.bootstrap import ConfidenceInterval
from albert.tasks.calibration import Bin

_WIDTH, _HEIGHT = 5.2, 3.4  # inches of 72 pixels: the width of a phone
_STEPS = 60  # the most points of a curve
_DOTS = 800  # the most points of a scatter plot
_DARKEST = 0.6  # the darkest cell, so that text on it stays readable
_FEW = 8  # the most labels of a matrix that fit on a phone
_SHARED = 6  # the most labels of a matrix whose cells have room for shares
_BINS = 30
_WHOLE: dict[str, Any] = {"clip_on": False}  # points on the edge are not clipped
_ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2}  # a legend above the curves


@dataclass(frozen=True)
class Picture:
    """A drawing and its description."""

    svg: Markup
    caption: str
    wide: bool = False


def interval(metric: str, found: ConfidenceInterval, baseline: float) -> Picture:
    """The score with its interval on a line, and the baseline."""
    figure, axes = _drawing(height=1.05)
    axes.plot([found.low, found.high], [0, 0], color=FIRST, linewidth=6, alpha=0.35, solid_capstyle="round", **_WHOLE)
    axes.plot([found.score], [0], "o", color=FIRST, markersize=9, **_WHOLE)
    axes.plot([baseline], [0], "|", color=SECOND, markersize=18, markeredgewidth=2.5, **_WHOLE)
    axes.set(xlim=(min(0.0, found.low, baseline), 1.0), ylim=(-1, 1), yticks=[], xlabel=metric)
    axes.spines["left"].set_visible(False)
    caption = (
        f"The dot is the {metric}, {found.score:.4f}; the bar holds {found.level:.0%} of bootstrap resamples, "
        f"{found.low:.4f} to {found.high:.4f}; the upright line is the baseline, {baseline:.4f}."
    )
    return Picture(inline(figure, "interval", "Score with its interval, and the baseline"), caption)


def losses(training: Sequence[tuple[int, float]], dev: Sequence[tuple[int, float]]) -> Picture:
    """The training loss, averaged over neighbouring steps, and the loss on the evaluation data."""
    figure, axes = _drawing()
    parts = np.array_split(np.asarray(training, np.float64), min(len(training), _STEPS))
    means = np.stack([part.mean(0) for part in parts])
    axes.plot(means[:, 0], means[:, 1], color=FIRST, label="training")
    if dev:
        axes.plot(*zip(*dev, strict=True), "o-", color=SECOND, markersize=4.5, label="dev")
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.legend(**_ABOVE)
    caption = (
        f"Loss over {training[-1][0] + 1:,} steps: training {means[0, 1]:.3f} at first, {means[-1, 1]:.3f} at last"
    )
    caption += f"; dev {dev[-1][1]:.3f} at last." if dev else "."
    return Picture(inline(figure, "losses", "Losses by step"), caption)


def metric_curve(metric: str, dev: Sequence[tuple[int, float]]) -> Picture:
    """The deciding metric at each evaluation, with the best one marked."""
    figure, axes = _drawing()
    best = max(dev, key=lambda entry: entry[1])
    axes.plot(*zip(*dev, strict=True), "o-", color=FIRST, markersize=4.5)
    axes.plot(*best, "o", color=PAPER, markeredgecolor=FIRST, markeredgewidth=2.5, markersize=10)
    axes.set(xlabel="step", ylabel=f"dev {metric}", xlim=(0, dev[-1][0] * 1.03))
    axes.margins(y=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    caption = f"{metric} on dev at {len(dev):,} evaluations; the best, {best[1]:.4f} at step {best[0]:,}, was kept."
    return Picture(inline(figure, "metric", "Score on dev by step"), caption)


def confusion(labels: Sequence[str], counts: np.ndarray) -> Picture:
    """Rows are gold labels, columns are predicted ones. The larger a cell's share of its row, the darker it is."""
    size = len(labels)
    wide = size > _FEW
    figure, axes = _drawing(width=_WIDTH * (1.5 if wide else 1), height=1.3 + 0.42 * max(size, 3))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    for row, column in np.ndindex(size, size):
        axes.add_patch(
            Rectangle((column, row), 1, 1, facecolor=FIRST, alpha=float(shares[row, column]) * _DARKEST, linewidth=0)
        )
        if counts[row, column]:
            said = f"{counts[row, column]:,}" + ("" if size > _SHARED else f"\n{shares[row, column]:.0%}")
            axes.text(column + 0.5, row + 0.5, said, ha="center", va="center", fontsize=10)
    names = [printable(label, 16) for label in labels]
    places = np.arange(size) + 0.5
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if size > 3 else {}
    axes.set_xticks(places, names, **turned)
    axes.set_yticks(places, names)
    axes.set(xlim=(0, size), ylim=(size, 0), xlabel="predicted", ylabel="gold")
    axes.grid(visible=False)
    axes.tick_params(length=0, labelcolor=INK)
    right = int(np.trace(counts))
    caption = (
        f"Rows are gold labels, columns are predicted labels. A cell is darker the larger its share of the row. "
        f"{right:,} of {int(counts.sum()):,} are on the diagonal, where both are the same."
    )
    return Picture(
        inline(figure, "confusion", "Confusion matrix, gold labels by predicted labels", wide=wide), caption, wide
    )


def reliability_diagram(table: Sequence[Bin]) -> Picture:
    """Accuracy by confidence, and the number of predictions at each confidence."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT + 0.7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    upper.plot([row.confidence for row in table], [row.accuracy for row in table], "o-", color=FIRST, markersize=5)
    upper.set(ylabel="share that is right", xlim=(0, 1), ylim=(-0.03, 1.03))
    lower.bar([row.confidence for row in table], [row.count for row in table], width=0.025, color=FIRST, alpha=0.6)
    lower.set(xlabel="confidence", ylabel="examples")
    lower.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    caption = "On the dashed line, confidence equals accuracy. Below it, the model is overconfident."
    return Picture(inline(figure, "reliability", "Accuracy by confidence, and how many examples have it"), caption)


def scatter(numbers: np.ndarray, *, comparable: bool) -> Picture:
    """Predicted numbers by gold numbers, a sample if there are many. The diagonal is drawn if both have one scale."""
    figure, axes = _drawing()
    shown = numbers[:: -(-len(numbers) // _DOTS)]
    axes.plot(shown[:, 0], shown[:, 1], "o", color=FIRST, alpha=0.4, markersize=4.5, markeredgewidth=0)
    if comparable:
        ends = [float(numbers[:, 0].min()), float(numbers[:, 0].max())]
        axes.plot(ends, ends, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.set(xlabel="gold", ylabel="predicted")
    caption = f"{len(shown):,} of {len(numbers):,} examples" + "; right ones are on the dashed line." * comparable
    return Picture(inline(figure, "scatter", "Predicted numbers by gold numbers"), caption.rstrip(".") + ".")


def histogram(lengths: np.ndarray, limit: int) -> Picture:
    """The texts' lengths in pieces, and the model's limit if it is near. The longest texts share the last bar."""
    figure, axes = _drawing()
    last = max(float(np.percentile(lengths, 99)) * 1.1, 8.0)
    near = limit <= 3 * lengths.max()
    if near:
        last = max(last, limit * 1.1)
    axes.hist(np.minimum(lengths, last), bins=np.linspace(0, last, _BINS + 1).tolist(), color=FIRST, alpha=0.75)
    if near:
        axes.axvline(limit, color=SECOND, linestyle=(0, (4, 3)), linewidth=1.5, label=f"limit, {limit:,}")
        axes.legend(**_ABOVE)
    axes.set(xlabel="pieces", ylabel="texts", xlim=(0, last))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    caption = "The number of texts by their length in pieces. The last bar holds all longer texts."
    return Picture(inline(figure, "lengths", "Histogram of lengths in pieces"), caption)


def printable(label: str, limit: int) -> str:
    """A label for a picture: short, and without characters that XML does not allow."""
    plain = "".join(char if char.isprintable() else "\ufffd" for char in label)
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def _drawing(*, width: float = _WIDTH, height: float = _HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
