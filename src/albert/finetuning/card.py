"""The cards of fine-tuned models (the README.md of their folders): data, settings and results."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert.config import AlbertConfig
from albert.tasks.labels import listed
from albert.tasks.stored import StoredTask
from albert.training.folder import thread_note
from albert.version import __version__

if TYPE_CHECKING:
    from albert.finetuning.attempts import FinetuneResult
    from albert.finetuning.dataset import Dataset, FinetuneConfig
    from albert.finetuning.pairs import Pairs

_BEGINNING = """---
library_name: albert-nlp
pipeline_tag: {pipeline}
metrics:
- {metric}
---
# {name}

"""
_MARKED = "| capital letters | marked by token type 1, which transformers has to be given |\n"
_RUN = """| training data | {train}, {train_rows:,} rows |
| evaluation data | {dev}, {dev_rows:,} rows |
| trained | {steps:,} steps{threads}, seed {seed}, albert-nlp {version} |

## Evaluation

{written}{scores}
| baseline ({baseline_words}) | {baseline:.4f} ({metric}) |

The best checkpoint was chosen on the same evaluation data, so these scores are slightly optimistic. Judge the model
on texts that were used neither for training nor for this choice.

## Settings

```
{settings}
```

## Use

```python
import albert
model = albert.load("{name}")
model("a text")
```

## Limits

"""
_LABELS = (
    _BEGINNING
    + """{family} model for {task}: {columns} -> {label}.

| | |
|---|---|
| labels | {labels} |
| started from | {start} |
| network | {layers} layers, hidden size {hidden}, {groups} group(s) of shared layers |
{words}"""
    + _RUN
    + """\
The model knows only what its training data shows. It does not work for other languages, other kinds of text, or
labels without examples. Long texts: {long}. Probabilities: {calibration}.
"""
)
_TEXTS = (
    _BEGINNING
    + """{family} encoder with a decoder of {decoder_layers} layers in {decoder_groups} group(s): {columns} -> {label}.

| | |
|---|---|
| started from | {start} |
| encoder | {layers} layers, hidden size {hidden}, {groups} group(s) of shared layers |
"""
    + _RUN
    + """\
The model rewrites texts like those of its training data. A text that it writes may be wrong and still read well:
check what matters.
"""
)


def model_card(
    network: AlbertConfig,
    config: FinetuneConfig,
    settings: dict[str, Any],
    result: FinetuneResult,
    data: Dataset,
    *,
    calibration: str = "",
) -> str:
    """The card as Markdown with the metadata block of model hubs. `calibration` says what was done for calibration."""
    settings = {**settings, **dataclasses.asdict(data.lengths)}
    stored = StoredTask.of(network.extra, "config.json")
    assert stored.task is not None
    return _LABELS.format(
        **_run(network, config, settings, result, data),
        task=stored.task,
        labels=listed(network.id2label, 50),
        words=_teachers(config) + _words(stored) + _fallback(stored) + (_MARKED if data.tokenizer.case_marks else ""),
        written="",
        long=data.lengths.rule(),
        calibration=calibration or "the model's own confidence, not calibrated",
    )


def text2text_card(
    network: AlbertConfig, config: FinetuneConfig, settings: dict[str, Any], result: FinetuneResult, data: Pairs
) -> str:
    """The card of a model that writes texts."""
    return _TEXTS.format(
        **_run(network, config, settings, result, data),
        decoder_layers=network.decoder_layers,
        decoder_groups=network.decoder_groups,
        written="Written greedily.\n\n",
    )


def _run(
    network: AlbertConfig,
    config: FinetuneConfig,
    settings: dict[str, Any],
    result: FinetuneResult,
    data: Dataset | Pairs,
) -> dict[str, Any]:
    """What every card tells of a run."""
    scores = "".join(f"| {name} | {value:.4f} |\n" for name, value in result.scores.items())
    return {
        "name": config.out.name,
        "family": "A BERT" if network.model_type == "bert" else "An ALBERT",
        "pipeline": data.task.pipeline,
        "columns": " + ".join(data.columns.texts()),
        "label": data.columns.label,
        "start": config.init or f"scratch, size {config.size}",
        "layers": network.num_hidden_layers,
        "hidden": network.hidden_size,
        "groups": network.num_hidden_groups,
        "train": Path(config.train.path).name,
        "dev": Path(config.dev).name if config.dev else "held out of the training data",
        "train_rows": data.train_rows,
        "dev_rows": len(data.dev_examples),
        "steps": result.steps,
        "threads": thread_note(result.threads),
        "seed": settings["seed"],
        "version": __version__,
        "scores": "| score | dev |\n|---|---|\n" + scores.rstrip("\n"),
        "baseline_words": data.baseline[0],
        "baseline": result.baseline,
        "metric": result.metric,
        "settings": "\n".join(f"{name}={value}" for name, value in settings.items()),
    }


def _teachers(config: FinetuneConfig) -> str:
    """The row of the table that names the teachers."""
    if not config.teachers:
        return ""
    texts = f", on texts of {Path(config.unlabelled).name}, too" if config.unlabelled else ""
    return f"| taught by | {', '.join(config.teachers)}{texts} |\n"


def _fallback(stored: StoredTask) -> str:
    """The row of the table that tells of a label for texts that no other one fits."""
    if stored.fallback is None or not stored.thresholds:
        return ""
    (limit,) = stored.thresholds
    rule = f"{stored.fallback}, where no other label has a probability of {limit:.3g}"
    return f"| fallback | {rule}; transformers gives the likeliest label |\n"


def _words(stored: StoredTask) -> str:
    """The rows of the table that tell of a linear model on words."""
    rows = ""
    if (own := stored.hybrid) is not None:
        rows += f"| hybrid | the head counts {own.head:.3g}, a linear model on words {own.words:.3g} |\n"
    if (alone := stored.cascade) is not None:
        rows += (
            f"| cascade | a linear model on words answers alone where it is sure, {alone.share:.1%} of the evaluation "
            "data |\n"
        )
    return rows
