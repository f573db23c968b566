"""The card of a model that writes texts: data, settings and results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert.config import AlbertConfig
from albert.training.folder import thread_note
from albert.version import __version__

if TYPE_CHECKING:
    from albert.finetuning.attempts import FinetuneResult
    from albert.finetuning.dataset import FinetuneConfig
    from albert.finetuning.pairs import Pairs

_TEXT2TEXT = """---
library_name: albert-nlp
pipeline_tag: {pipeline}
metrics:
- {metric}
---
# {name}

{family} encoder with a decoder of {decoder_layers} layers in {decoder_groups} group(s): {columns} -> {label}.

| | |
|---|---|
| started from | {start} |
| encoder | {layers} layers, hidden size {hidden}, {groups} group(s) of shared layers |
| training data | {train}, {train_rows:,} rows |
| evaluation data | {dev}, {dev_rows:,} rows |
| trained | {steps:,} steps{threads}, seed {seed}, albert-nlp {version} |

## Evaluation

Written greedily.

{scores}
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

It rewrites texts like those of its training data. What it writes may be wrong and read well: check what matters.
"""


def text2text_card(
    network: AlbertConfig, config: FinetuneConfig, settings: dict[str, Any], result: FinetuneResult, data: Pairs
) -> str:
    """The card of a model that writes texts."""
    scores = "| score | dev |\n|---|---|\n" + "\n".join(
        f"| {name} | {value:.4f} |" for name, value in result.scores.items()
    )
    return _TEXT2TEXT.format(
        name=config.out.name,
        pipeline=data.task.pipeline,
        metric=result.metric,
        family="A BERT" if network.model_type == "bert" else "An ALBERT",
        decoder_layers=network.decoder_layers,
        decoder_groups=network.decoder_groups,
        columns=" + ".join(data.columns.texts()),
        label=data.columns.label,
        start=config.init or f"scratch, size {config.size}",
        layers=network.num_hidden_layers,
        hidden=network.hidden_size,
        groups=network.num_hidden_groups,
        train=Path(config.train.path).name,
        dev=Path(config.dev).name if config.dev else "held out of it",
        train_rows=data.train_rows,
        dev_rows=len(data.dev_examples),
        steps=result.steps,
        threads=thread_note(result.threads),
        seed=settings["seed"],
        version=__version__,
        scores=scores,
        baseline_words=data.baseline[0],
        baseline=result.baseline,
        settings="\n".join(f"{name}={value}" for name, value in settings.items()),
    )
