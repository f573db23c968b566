"""Drawn segmentations: the same text, by the probabilities that SentencePiece draws by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.data.batches import Features
from albert.data.pairs import PairFeatures, features_of
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.source import PairSource
from albert.text.sampling import SamplingConfig, Segmentations
from albert.text.tokenizer import AlbertTokenizer
from albert.text.wordpiece import WordPieceTokenizer, build_pipeline
from albert.training.parts import LoopConfig

DRAWS = 4000


english = cache(AlbertTokenizer.english)


def every(word: str, scores: dict[str, tuple[int, float]]) -> Iterator[tuple[tuple[int, ...], float]]:
    """All segmentations, with the sums of their pieces' log-probabilities."""
    if not word:
        yield (), 0.0
    for end in range(1, len(word) + 1):
        if word[:end] in scores:
            token, score = scores[word[:end]]
            yield from (((token, *rest), score + more) for rest, more in every(word[end:], scores))


def distance(found: Counter[tuple[int, ...]], wanted: dict[tuple[int, ...], float]) -> float:
    """The total variation."""
    ways = set(found) | set(wanted)
    return sum(abs(found[way] / found.total() - wanted.get(way, 0.0)) for way in ways) / 2


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("word", ["ends", "towns", "today"])
def test_draws_have_the_probabilities_of_sentencepiece(tokenizer: AlbertTokenizer, word: str, alpha: float) -> None:
    weights = {way: math.exp(alpha * score) for way, score in every(f"▁{word}", tokenizer.scores())}
    wanted = {way: weight / sum(weights.values()) for way, weight in weights.items()}
    ids, rng, by = tokenizer.ids([word])[0], np.random.default_rng(0), Segmentations(tokenizer.scores(), alpha)
    ours = Counter(tuple(by.draw(ids, rng)[0].tolist()) for _ in range(DRAWS))
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    theirs = Counter(tuple(processor.encode(word, enable_sampling=True, alpha=alpha, nbest_size=-1))
                     for _ in range(DRAWS))  # fmt: skip
    assert len(wanted) > 5
    expected = 0.4 * sum(math.sqrt(share * (1 - share) / DRAWS) for share in wanted.values())  # of fair draws
    assert distance(ours, wanted) < 2 * expected + 0.01
    assert distance(theirs, wanted) < 2 * expected + 0.01


@settings(max_examples=50)
@given(st.text("abcdeilnorst -19,", max_size=30), st.lists(st.sampled_from([1, 2, 3]), max_size=3), st.integers(0, 99))
def test_the_text_and_special_pieces_stay(text: str, special: list[int], seed: int) -> None:
    tokenizer = english()
    ids = np.concatenate([[2], tokenizer.ids([text])[0], special, tokenizer.ids([text])[0]]).astype(np.int32)
    by = Segmentations(tokenizer.scores(), 0.2)
    drawn, places = by.draw(ids, np.random.default_rng(seed))
    assert "".join(map(tokenizer.vocabulary.__getitem__, drawn)) == "".join(map(tokenizer.vocabulary.__getitem__, ids))
    assert [token for token in drawn if token < 4] == [token for token in ids if token < 4]
    assert np.array_equal(drawn, by.draw(ids, np.random.default_rng(seed))[0])
    assert len(places) == len(drawn)
    assert (np.diff(places) >= 0).all()
    assert all(ids[place] == token for token, place in zip(drawn, places, strict=True) if token < 4)


@pytest.fixture
def pairs(tokenizer: AlbertTokenizer) -> PairFeatures:
    texts = [f"several other words of the sentence number {number}" for number in range(20)]
    targets = tokenizer.ids(texts)
    ids = [np.concatenate([[2], row, [3], row, [3]]) for row in targets]
    sources = features_of(ids)
    types = np.concatenate([np.arange(len(row)) > len(row) // 2 for row in ids]).astype(np.int8)
    return PairFeatures(Features(sources.ids, types, sources.starts, None), features_of(targets), 2, 3)


def batches(source: PairSource, *steps: int) -> list[list[list[int]]]:
    return [source.micro_batches(step)[0].target_ids.tolist() for step in steps]


def test_a_step_is_a_function_of_seed_and_epoch(pairs: PairFeatures, tokenizer: AlbertTokenizer) -> None:
    config, by = LoopConfig(batch_size=5, seed=3), Segmentations(tokenizer.scores(), 0.2)
    first = PairSource(pairs, config, by, (512, 512))
    steps = batches(first, 0, 1, 2, 3, 4, 5)
    assert batches(PairSource(pairs, config, by, (512, 512)), 5, 2) == [steps[5], steps[2]]
    rows = {tuple(row) for step in steps for row in step}
    assert len(rows) > 25  # of 30: other pieces in the second epoch
    plain = batches(PairSource(pairs, config), 0, 1, 2, 3)
    read = [sorted(tokenizer.decode(row) for step in all_ for row in step) for all_ in (steps[:4], plain)]
    assert read[0] == read[1]


def test_types_stay_those_of_their_text_and_long_rows_as_they_are(
    pairs: PairFeatures, tokenizer: AlbertTokenizer
) -> None:
    config, by = LoopConfig(batch_size=20), Segmentations(tokenizer.scores(), 0.2)
    batch = PairSource(pairs, config, by, (512, 512)).micro_batches(0)[0]
    for ids, types in zip(batch.input_ids.tolist(), batch.token_type_ids.tolist(), strict=True):
        first = ids.index(3) + 1
        second = ids.index(3, first) + 1
        assert types[:second] == [0] * first + [1] * (second - first)
    short = PairSource(pairs, config, by, (0, 0)).micro_batches(0)[0]
    assert short.target_ids.tolist() == PairSource(pairs, config).micro_batches(0)[0].target_ids.tolist()


def test_settings(tokenizer: AlbertTokenizer) -> None:
    words = WordPieceTokenizer(build_pipeline(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]))
    assert SamplingConfig().segmentations(words) is None
    with pytest.raises(AlbertError, match="sampling_alpha: expected a vocabulary with probabilities"):
        SamplingConfig(sampling_alpha=0.1).segmentations(words)
    assert SamplingConfig().segmentations(tokenizer) is None
    for alpha in (-0.1, 11.0, float("nan")):
        with pytest.raises(AlbertError, match="sampling_alpha") as caught:
            SamplingConfig(sampling_alpha=alpha)
        assert caught.value.kind is ErrorKind.CONFIG
