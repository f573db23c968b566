"""Padded buckets against the reference; their CUDA graphs where there is a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.config import AlbertConfig
from albert.data.batches import inference_batches
from albert.engine import Engine
from albert.engine.buckets import Bucket, BucketedModel
from albert.model import AlbertForTask
from rows import features

HEADS = ("sequence_classification", "token_classification", "span", "embedding", "multiple_choice")


def model(head: str) -> AlbertForTask:
    config = AlbertConfig.named(
        "tiny", vocab_size=60, embedding_size=16, hidden_size=32, num_attention_heads=2, intermediate_size=64,
        num_hidden_layers=3, id2label=("a", "b", "c"), initializer_range=0.2, max_position_embeddings=100,
    )  # fmt: skip
    return AlbertForTask(config, head, generator=torch.Generator().manual_seed(0)).eval()


@given(st.lists(st.integers(1, 512), min_size=1, max_size=70))
def test_a_bucket_holds_its_rows_and_little_more(lengths: list[int]) -> None:
    bucket = Bucket.of(np.asarray(lengths), most=512)
    assert len(lengths) <= bucket.texts < 2 * len(lengths)
    assert max(lengths) <= bucket.length < max(lengths) + 16
    assert bucket.length <= 512


@given(
    head=st.sampled_from(HEADS),
    lengths=st.lists(st.integers(1, 100), min_size=1, max_size=9),
    max_tokens=st.sampled_from([1, 150, 8192]),
)
@settings(max_examples=20)
def test_rows_in_buckets_are_the_reference(head: str, lengths: list[int], max_tokens: int) -> None:
    one, rows = model(head), features(lengths)
    batches = inference_batches(rows.lengths, max_tokens=max_tokens)
    said = BucketedModel(one, "fp32").logits(rows, batches)
    wanted = Engine(one, "fp32").logits(rows)
    for indices, found in zip(batches, said, strict=True):
        for index, row in zip(indices, found, strict=True):
            assert row.shape == wanted[index].shape
            assert np.abs(row - wanted[index]).max() < 1e-5


def test_products_are_in_bf16_and_the_model_stays() -> None:
    one, rows = model("sequence_classification"), features([9, 30])
    said = BucketedModel(one, "bf16").logits(rows, [np.asarray([0, 1])])
    assert all(parameter.dtype == torch.float32 for parameter in one.parameters())
    apart = np.abs(np.stack(said[0]) - np.stack(Engine(one, "fp32").logits(rows))).max()
    assert 0 < apart < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("head", HEADS)
def test_replayed_graphs_are_the_reference(head: str) -> None:
    one, rows = model(head), features([3, 17, 17, 40, 9, 100, 41, 2, 17])
    wanted = Engine(one, "fp32").logits(rows)
    engine = Engine(one.cuda(), "fp32")
    for _ in range(3):  # captured, then replayed
        for row, expected in zip(engine.logits(rows, max_tokens=150), wanted, strict=True):
            assert np.abs(row - expected).max() < 1e-3  # TF32 or other orders of sums
    assert engine.bucketed is not None
    assert engine.bucketed.graphs
