"""The model card: what was trained on what, how, with which result; the README.md of a model folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert import __version__
from albert.config import AlbertConfig
from albert.tasks import task_named

if TYPE_CHECKING:
    from albert.training.attempts import FinetuneResult
    from albert.training.dataset import Dataset, FinetuneConfig
    from albert.training.pretrain import PretrainConfig, PretrainResult

_TEMPLATE = """---
library_name: albert-nlp
pipeline_tag: {pipeline}
metrics:
- {metric}
---
# {name}

{family} model for {task}: {columns} -> {label}.

| | |
|---|---|
| labels | {labels} |
| started from | {start} |
| network | {layers} layers, hidden size {hidden}, {groups} group(s) of shared layers |
| training data | {train}, {train_rows:,} rows |
| evaluation data | {dev}, {dev_rows:,} rows |
| trained | {steps:,} steps{threads}, seed {seed}, albert-nlp {version} |

## Evaluation

{scores}
| baseline ({baseline_words}) | {baseline:.4f} ({metric}) |

The best checkpoint was chosen on the same evaluation data, so these scores are a little hopeful: judge the
model on texts that it was neither trained nor chosen on.

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

It knows what its training data shows: other languages, other kinds of text and labels without examples are
out of its reach. Long texts: {long}. Probabilities: {calibration}.
"""


def model_card(
    network: AlbertConfig,
    config: FinetuneConfig,
    settings: dict[str, Any],
    result: FinetuneResult,
    data: Dataset,
    *,
    calibration: str = "",
) -> str:
    """The card as Markdown with the metadata block that model hubs read; `calibration` tells what was done for it."""
    scores = "| score | dev |\n|---|---|\n" + "\n".join(
        f"| {name} | {value:.4f} |" for name, value in result.scores.items()
    )
    settings = {**settings, **dataclasses.asdict(data.lengths)}
    columns = network.extra["columns"]
    shown = ", ".join(network.id2label[:50]) + (", …" if len(network.id2label) > 50 else "")
    return _TEMPLATE.format(
        name=config.out.name,
        family="A BERT" if network.model_type == "bert" else "An ALBERT",
        task=network.extra["task"],
        pipeline=task_named(network.extra["task"]).pipeline,
        columns=" + ".join(filter(None, (columns["text"], columns["text_pair"]))),
        label=columns["label"],
        labels=shown,
        start=config.init or f"scratch, size {config.size}",
        layers=network.num_hidden_layers,
        hidden=network.hidden_size,
        groups=network.num_hidden_groups,
        train=Path(config.train).name,
        dev=Path(config.dev).name if config.dev else "held out of it",
        train_rows=data.train_rows,
        dev_rows=len(data.dev_examples),
        steps=result.steps,
        threads=_threads(result.threads),
        seed=settings["seed"],
        version=__version__,
        scores=scores,
        baseline_words=data.baseline[0],
        baseline=result.baseline,
        metric=result.metric,
        settings="\n".join(f"{name}={value}" for name, value in settings.items()),
        long=data.lengths.rule(),
        calibration=calibration or "the model's own confidence, not calibrated",
    )


def _threads(numbers: Sequence[int]) -> str:
    """In words, where a run went on with another number of threads: its weights are those of no single number."""
    return f" with {', then '.join(map(str, numbers))} threads" if len(numbers) > 1 else ""


_PRETRAINING_TEMPLATE = """---
library_name: albert-nlp
pipeline_tag: fill-mask
---
# {name}

An ALBERT encoder pre-trained on masked pieces and sentence order, to be fine-tuned.

| | |
|---|---|
| network | {layers} layers in {groups} group(s), hidden size {hidden}, embeddings {embedding}, {heads} heads |
| started from | {start} |
| teacher | {teacher} |
| vocabulary | {vocabulary:,} pieces |
| corpus | {documents:,} documents, {corpus_tokens:,} pieces |
| trained | {steps:,} steps{threads}, {tokens:,} pieces, seed {seed}, albert-nlp {version} |

## Evaluation on held-out documents

| score | value |
|---|---|
{scores}

![learning curves](curves.png)

## Settings

```
{settings}
```

## Use

```
albert train your.csv -o out --init {name}
```
"""


def pretraining_card(
    network: AlbertConfig,
    config: PretrainConfig,
    settings: dict[str, Any],
    result: PretrainResult,
    manifest: dict[str, Any],
) -> str:
    """The card of a pre-trained model as Markdown with the metadata block that model hubs read."""
    shards = manifest["shards"]
    return _PRETRAINING_TEMPLATE.format(
        name=config.out.name,
        layers=network.num_hidden_layers,
        groups=network.num_hidden_groups,
        hidden=network.hidden_size,
        embedding=network.embedding_size,
        heads=network.num_attention_heads,
        start=config.init or f"scratch, size {config.size}",
        teacher="none" if config.teacher is None else Path(config.teacher).name,
        vocabulary=network.vocab_size,
        documents=sum(shard["documents"] for shard in shards),
        corpus_tokens=sum(shard["tokens"] for shard in shards),
        steps=result.steps,
        threads=_threads(result.threads),
        tokens=result.tokens,
        seed=settings["seed"],
        version=__version__,
        scores="\n".join(f"| {name} | {value:.4f} |" for name, value in result.scores.items()),
        settings="\n".join(f"{name}={value}" for name, value in settings.items()),
    )
