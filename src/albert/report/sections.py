"""The report's sections, each made from the facts. A section without content is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from albert.audit.dataset import Audit, AuditConfig, audit
from albert.audit.findings import Finding
from albert.audit.texts import PieceCounts
from albert.errors import AlbertError
from albert.report import pictures
from albert.report.machine import machine
from albert.report.marked import Piece, pieces_of, shortened
from albert.report.pictures import Picture
from albert.storage.stored import read_records
from albert.tasks.calibration import brier_score, reliability
from albert.tasks.facts import Facts
from albert.tasks.review import LabelScore, Listing, Review, Verdict

WORST = 20
_MATRIX = 12  # the most labels of a matrix
_PAIRS = 15  # the most confusions that are listed
_LABELS = 40  # the most labels that are listed
_COUNTED = 5000  # the most texts whose lengths are counted
_AUDITED = 2 << 20  # bytes, which take about ten seconds
_SHOWN = 300  # the most characters of a gold value or prediction
Cell = float | str | None


@dataclass(frozen=True)
class Grid:
    """A table. None in a cell means unknown. `bar` is the column that is also drawn as a bar."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    bar: str = ""


@dataclass(frozen=True)
class Mistake:
    """One of the worst errors: its texts in pieces, the last one with its marks."""

    source: str
    gold: str
    said: str
    error: float
    confidence: float | None
    texts: list[list[Piece]]


@dataclass(frozen=True)
class Section:
    """A heading and its content, in this order. A `folded` section is closed until the reader opens it."""

    key: str
    title: str
    text: str = ""
    pictures: list[Picture] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: Sequence[str] = ()
    folded: bool = False


def sections(facts: Facts) -> Iterator[Section]:
    """All sections in the report's order."""
    review = facts.review
    for section in (
        _result(facts),
        _curves(facts),
        _labels(review),
        _calibration(facts),
        _numbers(facts, review),
        *map(_listing, review.listings),
        _errors(review),
        _lengths(facts),
        _data(facts),
        _remarks(facts),
        _settings(facts),
        _machine(),
    ):
        if section is not None:
            yield section


def _result(facts: Facts) -> Section:
    metric, (words, value), found = facts.task.metric, facts.baseline, facts.interval
    rows = [(name, score, value if name == metric else None) for name, score in facts.scores.items()]
    return Section(
        "result",
        "Result",
        f"{metric} {found.score:.4f} on {len(facts.outputs):,} examples; the baseline, {words}, reaches {value:.4f}. "
        f"Expect {found.low:.3f} to {found.high:.3f} on other examples of the same kind ({found.level:.0%} interval).",
        [pictures.interval(metric, found, value)],
        [Grid(("score", "value", "baseline"), rows)],
    )


def _curves(facts: Facts) -> Section | None:
    records = [record for _, record in read_records(facts.metrics)] if facts.metrics.is_file() else []
    training = [(record["step"], record["loss"]) for record in records if "loss" in record]
    dev = [(record["step"], record["dev"]) for record in records if "dev" in record]
    drawn = []
    if training:
        drawn.append(pictures.losses(training, [(step, s["loss"]) for step, s in dev if "loss" in s]))
    metric = facts.task.metric
    scored = [(step, scores[metric]) for step, scores in dev if metric in scores]
    if len(scored) > 1:
        drawn.append(pictures.metric_curve(metric, scored))
    seconds = sum(record.get("seconds", 0.0) for record in records)
    text = f"{len(training):,} updates in {seconds:,.0f} s, without evaluations."
    return Section("curves", "Learning curves", text, drawn) if drawn else None


def _labels(review: Review) -> Section | None:
    if not review.labels:
        return None
    shown, text = list(review.labels), ""
    if len(shown) > _LABELS:
        shown = sorted((score for score in shown if score.support), key=lambda score: score.f1)[:_LABELS]
        text = f"The {len(shown)} labels of {len(review.labels):,} with the lowest F1 among those that occur."
    columns = ["label", "precision", "recall", "F1", "support"]
    if decided := any(score.threshold is not None for score in shown):
        columns.append("threshold")
        text += " A text gets a label if its probability reaches the label's threshold."
    rows = [_label_row(score, decided) for score in shown]
    drawn, pairs = _confusions(review)
    return Section("labels", "Labels", text.strip(), drawn, [Grid(columns, rows, bar="F1"), *pairs])


def _label_row(score: LabelScore, decided: bool) -> list[Cell]:
    row: list[Cell] = [score.label, score.precision, score.recall, score.f1, score.support]
    return [*row, score.threshold] if decided else row


def _confusions(review: Review) -> tuple[list[Picture], list[Grid]]:
    """Which label is taken for which: a matrix for few labels, and a list for more than two."""
    labels = [score.label for score in review.labels]
    labels += sorted({label for pair in review.confusions for label in pair} - set(labels))
    wrong = sorted(((pair, n) for pair, n in review.confusions.items() if pair[0] != pair[1]), key=lambda e: (-e[1], e))
    drawn, grids = [], []
    if review.confusions and len(labels) <= _MATRIX:
        counts = np.asarray([[review.confusions[gold, said] for said in labels] for gold in labels])
        drawn.append(pictures.confusion(labels, counts))
    if wrong and len(labels) > 2:
        rows = [(gold, said, count) for (gold, said), count in wrong[:_PAIRS]]
        grids.append(Grid(("gold", "predicted", "times"), rows, "The most frequent confusions"))
    return drawn, grids


def _calibration(facts: Facts) -> Section | None:
    chances, gold = facts.review.probabilities, facts.review.gold
    if chances is None or gold is None:
        return None
    table = reliability(chances, gold)
    return Section(
        "calibration",
        "Calibration",
        "Are predictions with a confidence of 80% right in 80 of 100 cases? Expected calibration error (15 bins) "
        f"{facts.calibration_error:.4f}, Brier score {brier_score(chances, gold):.4f}; 0 is best for both.",
        [pictures.reliability_diagram(table)],
        [Grid(("confidence", "right", "examples"), [(row.confidence, row.accuracy, row.count) for row in table])],
    )


def _numbers(facts: Facts, review: Review) -> Section | None:
    if review.numbers is None:
        return None
    drawn = pictures.scatter(review.numbers, comparable="mse" in facts.scores)
    table = review.numbers
    rows: list[Sequence[Cell]] = [
        ("mean", *table.mean(0).tolist()),
        ("standard deviation", *table.std(0).tolist()),
        ("least", *table.min(0).tolist()),
        ("greatest", *table.max(0).tolist()),
    ]
    return Section("numbers", "Predicted and gold numbers", "", [drawn], [Grid(("", "gold", "predicted"), rows)])


def _listing(listing: Listing) -> Section:
    key = listing.title.lower().replace(" ", "-")
    return Section(key, listing.title, listing.caption, grids=[Grid(listing.columns, listing.rows)])


def _errors(review: Review) -> Section:
    worst = review.worst(WORST)
    if not worst:
        return Section("errors", "Worst errors", "None: every example is right.")
    wrong = sum(verdict.error > 0 for verdict in review.verdicts)
    text = f"The worst of {wrong:,}. The error is {review.error}. Among equal errors, the most confident come first."
    if any(verdict.marks for verdict in worst):
        text += " Underlined: gold. Shaded: predicted. Green: both agree."
    return Section("errors", "Worst errors", text, mistakes=[_mistake(verdict) for verdict in worst])


def _mistake(verdict: Verdict) -> Mistake:
    *before, last = [verdict.example.text, *filter(None, [verdict.example.text_pair])]
    texts = [*map(pieces_of, before), pieces_of(last, verdict.marks)]
    gold, said = (shortened(words, _SHOWN) for words in (verdict.gold, verdict.said))
    return Mistake(verdict.example.source, gold, said, verdict.error, verdict.confidence, texts)


def _lengths(facts: Facts) -> Section:
    examples = [output.example for output in facts.outputs]
    examples = examples[:: -(-len(examples) // _COUNTED)]
    pieces, limit = PieceCounts.of(examples, facts.tokenizer), facts.lengths.max_length
    longer = pieces.longer_than(limit)
    text = f"Of {len(examples):,} texts or pairs, {longer:,} are longer than {limit:,} pieces; {facts.lengths.rule()}."
    grid = Grid(("length", "pieces"), list(pieces.percentiles().items()))
    return Section("lengths", "Lengths", text, [pictures.histogram(pieces.lengths, limit)], [grid])


def _data(facts: Facts) -> Section:
    train, *dev = facts.sources
    files = [Path(name) for name in facts.files]
    names = ", ".join(file.name for file in files)
    if not all(file.is_file() for file in files):
        return Section("data", "Data", f"Not checked: {names} cannot be read again.")
    if sum(file.stat().st_size for file in files) > _AUDITED:
        return Section("data", "Data", f"Not checked here, to save time. Check them with: albert check {names}")
    try:
        found = audit(AuditConfig(train=train, dev=dev[0].path if dev else None), tokenizer=facts.tokenizer)
    except AlbertError as error:
        return Section("data", "Data", f"Not checked: {error}")
    return Section("data", "Data", _findings_in_words(found, names), findings=found.findings)


def _findings_in_words(found: Audit, names: str) -> str:
    rows = sum(split.rows for split in found.splits)
    kinds = f"{len(found.findings)} kinds of findings" if found.findings else "no findings"
    return f"albert check on {names}, {rows:,} rows: {kinds}."


def _remarks(facts: Facts) -> Section | None:
    return Section("remarks", "Remarks", notes=facts.remarks) if facts.remarks else None


def _settings(facts: Facts) -> Section:
    rows = [(name, str(value)) for name, value in facts.settings.items() if not isinstance(value, (dict, list))]
    return Section("settings", "Configuration", grids=[Grid(("setting", "value"), rows)], folded=True)


def _machine() -> Section:
    return Section(
        "machine", "Machine and versions", grids=[Grid(("what", "which"), list(machine().items()))], folded=True
    )
