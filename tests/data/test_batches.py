from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.data.batches import IGNORED, Features, inference_batches, training_steps, within_budget
from albert.text.tokenizer import AlbertTokenizer

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200).map(np.asarray)


@given(LENGTHS, st.integers(1, 40), st.integers(8, 400), st.integers(0, 3))
def test_an_epoch_has_every_example_once_within_the_budget(
    lengths: np.ndarray, batch_size: int, budget: int, epoch: int
) -> None:
    steps = training_steps(lengths, batch_size=batch_size, max_tokens=budget, seed=1, epoch=epoch)
    flat = [index for step in steps for micro in step for index in micro]
    assert sorted(flat) == list(range(len(lengths)))
    assert len(steps) == -(-len(lengths) // batch_size)
    for step in steps:
        assert sum(map(len, step)) <= batch_size
        for micro in step:
            assert len(micro) == 1 or len(micro) * lengths[micro].max() <= budget


@given(LENGTHS, st.integers(8, 400))
def test_inference_covers_everything_longest_first(lengths: np.ndarray, budget: int) -> None:
    batches = inference_batches(lengths, max_tokens=budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    tops = [int(lengths[batch].max()) for batch in batches]
    assert tops == sorted(tops, reverse=True)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    lengths = np.arange(1, 101)

    def order(seed: int, epoch: int) -> list[list[int]]:
        steps = training_steps(lengths, batch_size=8, max_tokens=10_000, seed=seed, epoch=epoch)
        return [micro.tolist() for step in steps for micro in step]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_sorting_saves_most_padding() -> None:
    lengths = np.random.default_rng(0).lognormal(3, 0.7, 4000).astype(int) + 1
    steps = training_steps(lengths, batch_size=32, max_tokens=10**9, seed=0, epoch=0)
    padded = sum(len(step[0]) * lengths[step[0]].max() for step in steps)
    assert padded / lengths.sum() < 1.15


def test_a_budget_smaller_than_one_text_still_runs_it() -> None:
    assert [list(run) for run in within_budget([0, 1], np.asarray([50, 60]), 8)] == [[0], [1]]


def test_batches_give_back_the_encodings(tokenizer: AlbertTokenizer) -> None:
    texts = ["a short one", ("first of a pair", "and second"), ""]
    encodings = tokenizer.encode_batch(texts)
    features = Features.build(encodings, np.asarray([2, 0, 1]))
    batch = features.batch([2, 1, 0])
    assert batch.gold is not None
    assert batch.gold.tolist() == [1, 0, 2]
    for row, encoding in zip(range(3), reversed(encodings), strict=True):
        n = len(encoding)
        assert batch.input_ids[row, :n].tolist() == encoding.input_ids
        assert batch.token_type_ids[row, :n].tolist() == encoding.token_type_ids
        assert batch.attention_mask[row].tolist() == [1] * n + [0] * (batch.input_ids.shape[1] - n)
        assert batch.input_ids[row, n:].sum() == 0


def test_gold_piece_by_piece_is_padded_with_what_no_loss_counts(tokenizer: AlbertTokenizer) -> None:
    encodings = tokenizer.encode_batch(["a short one", "longer than the other one, by far", ""])
    gold = [np.arange(len(encoding)) + 100 * i for i, encoding in enumerate(encodings)]
    features = Features.build(encodings, gold, offsets=True)
    batch = features.batch([2, 1, 0])
    assert batch.gold is not None
    assert batch.gold.shape == batch.input_ids.shape
    for row, index in enumerate([2, 1, 0]):
        n = len(encodings[index])
        assert batch.gold[row, :n].tolist() == features.gold_of(index).tolist() == gold[index].tolist()
        assert (batch.gold[row, n:] == IGNORED).all()
        assert features.offsets_of(index).tolist() == list(map(list, encodings[index].offsets))


@pytest.mark.parametrize("change", ["ids", "types", "starts", "gold"])
def test_the_fingerprint_sees_every_array(tokenizer: AlbertTokenizer, change: str) -> None:
    features = Features.build(tokenizer.encode_batch(["one", "two"]), np.asarray([0, 1]))
    before = features.fingerprint()
    getattr(features, change)[-1] += 1
    assert features.fingerprint() != before


def test_joined_parts_are_what_encoding_at_once_gives(tokenizer: AlbertTokenizer) -> None:
    encodings = tokenizer.encode_batch(["a b c", "d", "e f " * 9, "g", "h i"])
    owners = [0, 0, 1, 2, 2]
    whole = Features.build(encodings, offsets=True, owners=owners)
    first = Features.build(encodings[:3], offsets=True, owners=[0, 0, 1])
    second = Features.build(encodings[3:], offsets=True, owners=[0, 0])
    joined = Features.join([first, second])
    assert joined.fingerprint() == whole.fingerprint()
    assert joined.example_bounds().tolist() == [0, 2, 3, 5]
    assert joined.offsets_of(2).tolist() == whole.offsets_of(2).tolist()
