"""The report of a run, `report.html` in its folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from albert.config import AlbertConfig
from albert.errors import AlbertError
from albert.finetuning.attempts import FinetuneResult
from albert.finetuning.dataset import Dataset, FinetuneConfig
from albert.report import Facts, write_report
from albert.tasks.facts import resolved
from albert.text.encodings import Tokenizer

NAME = "report.html"


@dataclass(frozen=True)
class Finished:
    """A run's configuration, its data, and its best model's outputs on dev."""

    config: FinetuneConfig
    data: Dataset
    network: AlbertConfig
    settings: dict[str, Any]
    result: FinetuneResult
    tokenizer: Tokenizer


def report_on(run: Finished) -> str:
    """Writes the report and prints its place. If there is none, prints the reason: a run whose model is saved has not
    failed.
    """
    path = run.config.out / NAME
    try:
        if path.is_symlink():  # nobody named it, and what it leads to is not ours to write
            path.unlink()
        write_report(path, _facts(run))
    except AlbertError as error:
        return f"no report: {error.what}; {error.hint or error.got}"
    except Exception as error:
        return f"no report: {type(error).__name__}: {error}"
    return f"report -> {path}"


def _facts(run: Finished) -> Facts:
    config, data = run.config, run.data
    source = resolved(config.train, data.task, data.columns, data.lengths)
    return Facts(
        title=config.out.name,
        task=data.task,
        labels=data.labels,
        outputs=run.result.outputs,
        scores=run.result.scores,
        baseline=data.baseline,
        tokenizer=run.tokenizer,
        lengths=data.lengths,
        about=_about(run),
        settings={**run.settings, **asdict(data.lengths), **run.network.to_dict()},
        sources=(source,) if config.dev is None else (source, source.at(config.dev)),
        thresholds=run.result.thresholds,
        metrics=config.out / "metrics.jsonl",
        remarks=[_CHOSEN, *data.remarks],
    )


_CHOSEN = (
    "The best checkpoint and the thresholds, if any, were chosen on the same evaluation data, so these scores are "
    "slightly optimistic. Judge the model on texts that were used neither for training nor for these choices."
)


def _about(run: Finished) -> dict[str, str]:
    config, rows = run.config, len(run.data.dev_examples)
    return {
        "training data": f"{Path(config.train.path).name}, {run.data.train_rows:,} rows",
        "evaluation data": f"{Path(config.dev).name if config.dev else 'held out of the training data'}, {rows:,} rows",
        "started from": config.init or f"scratch, size {config.size}",
        "seed": str(run.settings["seed"]),
    }
