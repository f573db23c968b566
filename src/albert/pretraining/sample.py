"""One training instance of a prepared corpus as text, as the model will read it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from albert.corpus.shards import Corpus, ShardInfo, open_shard
from albert.pretraining.instances import NO_PAIR, InstanceConfig, plan_epoch
from albert.pretraining.source import MaskingConfig, PretrainingSource
from albert.storage.files import MANIFEST
from albert.text.pieces import SPACE
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import word_starts


def sample_instance(folder: Path, manifest: dict[str, Any], *, seed: int = 0) -> str:
    """An instance from a shard that the seed draws, with its special pieces and its order label.

    `manifest` is that of the prepared `folder`. "" for a corpus without text.
    """
    entries = [entry for entry in manifest["shards"] if entry["documents"]]
    if not entries:
        return ""
    shard = open_shard(folder, ShardInfo.from_dict(random.Random(seed).choice(entries), MANIFEST))
    vocabulary = AlbertTokenizer.from_pretrained(folder).vocabulary
    return _decoded(Corpus(folder, [shard], manifest), vocabulary, seed=seed)


def _decoded(corpus: Corpus, vocabulary: Sequence[str], *, seed: int) -> str:
    plan = plan_epoch(corpus, InstanceConfig(held_out=0.0), seed=seed, epoch=0)
    if not len(plan):
        return ""
    source = PretrainingSource(
        corpus,
        word_starts(vocabulary),
        InstanceConfig(held_out=0.0),
        MaskingConfig(),
        batch_size=1,
        max_tokens=128,
        seed=seed,
    )
    batch = source.build(0)[0]
    order = {0: "in order", 1: "swapped", NO_PAIR: "one segment"}[int(batch.order)]
    text = "".join(vocabulary[token] for token in batch.input_ids[0].tolist()).replace(SPACE, " ")
    return f"{text.strip()} ({order})"
