"""Instances: what stands together, in which order, and that nothing but (seed, epoch, index) decides it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.config import CLS_ID, PAD_ID, SEP_ID
from albert.corpus.shards import Corpus
from albert.errors import AlbertError
from albert.pretraining.instances import NO_PAIR, InstanceConfig, Plan, build_rows, instance_lengths, plan_epoch
from corpora import make_corpus, numbered

DOCUMENTS = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=12), min_size=1, max_size=6)


def config(**values: Any) -> InstanceConfig:
    return InstanceConfig(**{"max_length": 32, "held_out": 0.0, **values})


def plan_of(corpus: Corpus, wanted: InstanceConfig, *, seed: int = 0, epoch: int = 0, **rest: Any) -> Plan:
    return plan_epoch(corpus, wanted, seed=seed, epoch=epoch, **rest)


def sentences_of(corpus: Corpus, plan: Plan) -> list[tuple[int, int]]:
    """(shard, sentence) of every sentence that the plan uses."""
    return [
        (int(shard), sentence)
        for shard, (a, a_end, b, b_end) in zip(plan.shards, plan.bounds.tolist(), strict=True)
        for sentence in [*range(a, a_end), *range(b, b_end)]
    ]


@settings(max_examples=60)
@given(
    lengths=DOCUMENTS,
    pairs=st.sampled_from(["sop", "none"]),
    short=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 99),
)
def test_an_epoch_uses_every_sentence_once(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], pairs: Any, short: float, seed: int
) -> None:
    documents = [[[5] * n for n in document] for document in lengths]
    corpus = make_corpus(tmp_path_factory.mktemp("c"), documents, shards=min(2, len(documents)))
    plan = plan_of(corpus, config(pairs=pairs, short_sequences=short), seed=seed)
    everything = [(n, s) for n, shard in enumerate(corpus.shards) for s in range(len(shard.sentences) - 1)]
    assert sorted(sentences_of(corpus, plan)) == everything


def test_chunks_end_at_the_sentence_that_fills_them(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, numbered(1, 40, 4))
    plan = plan_of(corpus, config(short_sequences=0.0))
    counts = [(a_end - a) + (b_end - b) for a, a_end, b, b_end in plan.bounds.tolist()]
    assert counts == [8] * 5  # 29 pieces of room: eight sentences of four


def test_swapped_segments_are_labelled_and_half_of_all(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, numbered(60, 100, 8))
    plan = plan_of(corpus, config())
    paired = plan.labels != NO_PAIR
    swapped = plan.bounds[:, 0] > plan.bounds[:, 2]
    assert np.array_equal(swapped[paired], plan.labels[paired] == 1)
    assert plan.labels[paired].mean() == pytest.approx(0.5, abs=0.05)
    forward = plan.bounds[paired & (plan.labels == 0)]
    assert (forward[:, 1] == forward[:, 2]).all()  # the second segment goes on where the first ends


def test_the_split_is_uniform(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, [[[5]] * 29 for _ in range(4000)])
    plan = plan_of(corpus, config(short_sequences=0.0))
    first = np.where(plan.labels == 1, plan.bounds[:, 3] - plan.bounds[:, 2], plan.bounds[:, 1] - plan.bounds[:, 0])
    shares = np.bincount(first, minlength=29)[1:29] / len(first)
    assert shares.min() > 0.5 / 28
    assert shares.max() < 1.5 / 28


def test_a_tenth_of_the_documents_has_short_targets_of_any_length(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, [[[5]] * 29 for _ in range(6000)])
    plan = plan_of(corpus, config())
    documents = plan.bounds.min(1, where=plan.bounds < 2**31, initial=2**31) // 29
    whole = np.bincount(documents, minlength=6000) == 1
    target_29 = 0.1 / 28  # a short target may be the full one
    assert 1 - whole.mean() == pytest.approx(0.1 - target_29, abs=0.012)
    lengths = instance_lengths(corpus, plan, np.arange(len(plan)), 32)
    first = {int(d): int(n) for d, n in reversed(list(zip(documents, lengths, strict=True)))}
    targets = [n - 3 for d, n in first.items() if not whole[d]]
    assert set(targets) == set(range(2, 29))
    assert np.mean(targets) == pytest.approx(15, abs=1)


def test_a_lone_sentence_has_no_order_label_unless_it_gets_a_foreign_second(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, numbered(30, 1, 6))
    plan = plan_of(corpus, config())
    assert set(plan.labels.tolist()) == {NO_PAIR}
    assert (plan.bounds[:, 2] == plan.bounds[:, 3]).all()
    foreign = plan_of(corpus, config(foreign_second=True))
    assert set(foreign.labels.tolist()) == {1}
    assert (foreign.bounds[:, 0] != foreign.bounds[:, 2]).all()


def test_next_sentence_pairs(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, numbered(40, 60, 6))
    plan = plan_of(corpus, config(pairs="nsp"))
    documents = plan.bounds // 60
    random = plan.labels == 1
    assert random.mean() == pytest.approx(0.5, abs=0.06)
    assert (documents[~random, 0] == documents[~random, 2]).all()
    assert (plan.bounds[~random, 1] == plan.bounds[~random, 2]).all()
    assert (documents[random, 0] != documents[random, 2]).all()
    own = np.concatenate([np.arange(a, b) for a, b in plan.bounds[:, :2]])
    own = np.concatenate([own, *[np.arange(a, b) for a, b in plan.bounds[~random, 2:]]])
    assert sorted(own.tolist()) == list(range(40 * 60))  # what a foreign segment displaced comes later


def test_held_out_documents_are_a_share_and_the_same_for_every_seed(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, [[[5]] * 3 for _ in range(3000)], shards=3)
    wanted = config(held_out=0.1)
    out = set(sentences_of(corpus, plan_of(corpus, wanted, held_out=True)))
    rest = set(sentences_of(corpus, plan_of(corpus, wanted)))
    assert len(out) / 9000 == pytest.approx(0.1, abs=0.02)
    assert not out & rest
    assert len(out) + len(rest) == 9000
    assert out == set(sentences_of(corpus, plan_of(corpus, wanted, seed=7, epoch=3, held_out=True)))


@settings(max_examples=60)
@given(lengths=DOCUMENTS, pairs=st.sampled_from(["sop", "nsp", "none"]), seed=st.integers(0, 99))
def test_rows_are_well_formed(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], pairs: Any, seed: int
) -> None:
    documents = [[[5 + i] * n for i, n in enumerate(document)] for document in lengths]
    corpus = make_corpus(tmp_path_factory.mktemp("c"), documents)
    wanted = config(pairs=pairs, max_length=16)
    plan = plan_of(corpus, wanted, seed=seed)
    every = np.arange(len(plan))
    ids, types = build_rows(corpus, plan, every, wanted, seed=seed, epoch=0)
    assert ids.shape[1] <= 16
    assert np.array_equal((ids != PAD_ID).sum(1), instance_lengths(corpus, plan, every, 16))
    for row, kinds, label, bounds in zip(ids, types, plan.labels, plan.bounds, strict=True):
        length = int((row != PAD_ID).sum())
        separators = np.flatnonzero(row == SEP_ID)
        two = bounds[2] < bounds[3]
        assert row[0] == CLS_ID
        assert len(separators) == 1 + two
        assert separators[-1] == length - 1
        assert label == NO_PAIR or two
        assert not kinds[: separators[0] + 1].any()
        assert kinds[separators[0] + 1 : length].all()
        first = row[1 : separators[0]]
        text = np.concatenate([np.asarray(corpus.shards[0].tokens)])
        whole = text[corpus.shards[0].sentences[bounds[0]] : corpus.shards[0].sentences[bounds[1]]]
        assert any(np.array_equal(first, whole[i : i + len(first)]) for i in range(len(whole)))


def test_the_longer_segment_is_cut_at_both_ends_alike(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, [[[7] * 3, list(range(100, 160))]] * 3000)
    wanted = config(short_sequences=0.0)
    plan = plan_of(corpus, wanted)
    ids, _ = build_rows(corpus, plan, np.arange(len(plan)), wanted, seed=0, epoch=0)
    assert ((ids == 7).sum(1) == 3).all()  # the shorter one stays whole
    kept = np.where(ids >= 100, ids, 0)
    first = np.where(kept > 0, kept, 1000).min(1) - 100
    assert ((kept > 0).sum(1) == 26).all()
    assert first.mean() == pytest.approx(34 / 2, abs=0.3)  # of 34 cut, half in front
    assert first.var() == pytest.approx(34 / 4, rel=0.1)  # a coin a piece


@pytest.mark.ci
@given(seed=st.integers(0, 1000), chosen=st.lists(st.integers(0, 30), min_size=1, max_size=10))
def test_an_instance_does_not_depend_on_its_company(
    tmp_path_factory: pytest.TempPathFactory, seed: int, chosen: list[int]
) -> None:
    corpus = make_corpus(tmp_path_factory.mktemp("c"), numbered(8, 40, 5), shards=2)
    wanted = config()
    plan = plan_of(corpus, wanted, seed=seed)
    whole, _ = build_rows(corpus, plan, np.arange(31), wanted, seed=seed, epoch=0)
    part, _ = build_rows(corpus, plan, np.array(chosen), wanted, seed=seed, epoch=0)
    assert np.array_equal(part, whole[chosen, : part.shape[1]])


def test_epochs_and_seeds_differ_and_repeat(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, numbered(20, 60, 5))
    plans = {(s, e): plan_of(corpus, config(), seed=s, epoch=e).bounds.tolist() for s in (0, 1) for e in (0, 1)}
    assert len({str(bounds) for bounds in plans.values()}) == 4
    assert plan_of(corpus, config(), seed=1, epoch=1).bounds.tolist() == plans[1, 1]


@pytest.mark.parametrize("bad", [{"max_length": 4}, {"short_sequences": 1.5}, {"pairs": "both"}, {"held_out": -0.1}])
def test_bad_settings(bad: dict[str, Any]) -> None:
    with pytest.raises(AlbertError, match=next(iter(bad))):
        InstanceConfig(**bad)


def test_comparisons_repeat_a_segment_or_bring_a_foreign_one_and_lose_no_sentence(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, numbered(400, 30, 4))
    plan = plan_of(corpus, config(comparisons=0.4, short_sequences=0.0))
    documents = np.searchsorted(np.asarray(corpus.shards[0].documents), plan.bounds[:, ::2], side="right")
    foreign = (documents[:, 0] != documents[:, 1]) & (plan.bounds[:, 2] < plan.bounds[:, 3])
    repeated = (plan.bounds[:, :2] == plan.bounds[:, 2:]).all(1)
    for share, label in ((repeated, 0), (foreign, 1)):
        assert 0.17 < share.mean() < 0.23
        assert (plan.labels[share] == label).all()
    rest = plan.labels[~repeated & ~foreign]
    assert 0.46 < (rest[rest != NO_PAIR] == 1).mean() < 0.54
    own = {s for a, a_end, b, b_end in plan.bounds[~foreign].tolist() for s in (*range(a, a_end), *range(b, b_end))}
    own |= {s for a, a_end, *_ in plan.bounds[foreign].tolist() for s in range(a, a_end)}
    assert own == set(range(len(corpus.shards[0].sentences) - 1))
    held = plan_of(corpus, config(comparisons=0.4, held_out=0.5), held_out=True)
    assert len(held)
