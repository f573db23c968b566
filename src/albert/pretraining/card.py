"""The card of a pre-trained model: its start, its corpus, the length of its training, and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from albert.config import AlbertConfig
from albert.training.folder import thread_note
from albert.version import __version__

if TYPE_CHECKING:
    from albert.pretraining.pretrain import PretrainResult
    from albert.pretraining.settings import PretrainConfig

_TEMPLATE = """---
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
    return _TEMPLATE.format(
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
        threads=thread_note(result.threads),
        tokens=result.tokens,
        seed=settings["seed"],
        version=__version__,
        scores="\n".join(f"| {name} | {value:.4f} |" for name, value in result.scores.items()),
        settings="\n".join(f"{name}={value}" for name, value in settings.items()),
    )
