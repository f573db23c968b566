"""Beam search and draws against plain loops without a cache, and the promises of the options."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from albert.config import DecoderConfig
from albert.errors import AlbertError, ErrorKind
from albert.generation import Alphabet, GenerationOptions, Hypothesis, begin
from albert.generation.rules import Rules
from albert.model.decoder import AlbertForText2Text
from conftest import small_config

ALPHABET = Alphabet(begin=2, end=3, never=(0, 1, 2, 4))


def build(vocab: int = 61, seed: int = 0, **overrides: object) -> AlbertForText2Text:
    config = small_config(decoder=DecoderConfig(decoder_layers=2), vocab_size=vocab, initializer_range=0.4,
                          num_hidden_layers=2, id2label=(), **overrides)  # fmt: skip
    return AlbertForText2Text(config, generator=torch.Generator().manual_seed(seed)).eval()


def sources(lengths: list[int], vocab: int = 61, seed: int = 1) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(5, vocab, (length,), generator=generator).tolist() for length in lengths]


def write(
    model: AlbertForText2Text, rows: list[list[int]], count: int = 1, prefix: tuple[int, ...] = (), **options: Any
) -> list[list[Hypothesis]]:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    options = {"max_length": 12, **options}
    return begin(model, ids, mask, torch.zeros_like(ids), alphabet=ALPHABET, prefix=prefix, count=count,
                 options=GenerationOptions(**options)).run()  # fmt: skip


def next_scores(model: AlbertForText2Text, row: list[int], written: list[int], **options: Any) -> Tensor:
    """Log-probabilities of what comes next, read from the beginning."""
    rules = Rules(GenerationOptions(**{"max_length": 12, **options}), ALPHABET)
    pieces = torch.tensor([[2, *written]])
    with torch.inference_mode():
        logits = model.logits(model(torch.tensor([row]), pieces)[:, -1])
        return rules.log_probabilities(logits, pieces)[0]


def greedily(model: AlbertForText2Text, row: list[int], **options: Any) -> tuple[int, ...]:
    written: list[int] = []
    while len(written) < 12:
        piece = int(next_scores(model, row, written, **options).argmax())
        if piece == 3:
            break
        written.append(piece)
    return tuple(written)


def close(one: Hypothesis, other: Hypothesis) -> bool:
    return (one.pieces, one.cut) == (other.pieces, other.cut) and one.score == pytest.approx(other.score, abs=1e-4)


@settings(max_examples=6)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(0, 5))
def test_beam_1_is_greedy(lengths: list[int], seed: int) -> None:
    model, rows = build(seed=seed), sources(lengths, seed=seed)
    assert [found[0].pieces for found in write(model, rows)] == [greedily(model, row) for row in rows]


OPTIONS: list[dict[str, Any]] = [
    {"beam": 4},
    {"beam": 3, "early_stop": False, "length_penalty": 0.6},
    {"beam": 2, "no_repeat_ngram": 2, "repetition_penalty": 1.5, "min_length": 3},
    {"sample": True, "seed": 7},
    {"sample": True, "temperature": 0.7, "sampling_top_k": 10, "top_p": 0.8},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_text_gets_the_same_answers_in_any_batch(options: dict[str, Any]) -> None:
    model, rows = build(seed=3), sources([9, 1, 4, 7, 2, 2])
    together = write(model, rows, count=2, **options)
    backwards = write(model, rows[::-1], count=2, **options)[::-1]
    alone = [write(model, [row], count=2, **options)[0] for row in rows]
    for others in (backwards, alone):
        for ours, theirs in zip(together, others, strict=True):
            assert len(ours) == len(theirs)
            assert all(map(close, ours, theirs))


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_a_wide_beam_finds_what_trying_all_texts_finds(penalty: float) -> None:
    model, row = build(vocab=8, seed=5), sources([4], vocab=8)[0]
    tried = []
    for length in (1, 2):
        for pieces in itertools.product((5, 6, 7), repeat=length):
            steps = [float(next_scores(model, row, list(pieces[:n]))[p]) for n, p in enumerate((*pieces, 3))]
            tried.append((sum(steps) / (length + 1) ** penalty, pieces))
    best = [pieces for _, pieces in sorted(tried, reverse=True)]
    found = write(model, [row], beam=40, count=5, max_length=2, length_penalty=penalty, early_stop=False)[0]
    assert [one.pieces for one in found] == best[:5]


@pytest.mark.parametrize("options", OPTIONS)
def test_scores_are_those_of_the_pieces(options: dict[str, Any]) -> None:
    model, rows = build(seed=2), sources([5, 3])
    said = GenerationOptions(**{"max_length": 12, **options})
    for row, found in zip(rows, write(model, rows, count=2, **options), strict=True):
        for one in found:
            pieces = [*one.pieces, *([] if one.cut else [3])]
            wanted = [float(next_scores(model, row, pieces[:n], **options)[p]) for n, p in enumerate(pieces)]
            assert one.token_scores == pytest.approx(wanted, abs=1e-4)
            assert one.score == pytest.approx(said.normalized(sum(wanted), len(wanted)), abs=1e-4)


@settings(max_examples=15)
@given(st.integers(1, 6), st.integers(0, 20), st.floats(0, 2), st.booleans())
def test_answers_are_sorted_and_none_comes_twice(beam: int, seed: int, penalty: float, early: bool) -> None:
    found = write(build(seed=seed), sources([3, 6], seed=seed), count=beam, beam=beam, length_penalty=penalty,
                  early_stop=early)  # fmt: skip
    for answers in found:
        assert 1 <= len(answers) <= beam
        assert [one.rank for one in answers] == sorted(one.rank for one in answers)
        assert len({one.pieces for one in answers}) == len(answers)


def test_a_sure_text_is_not_stopped_by_unlikely_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three ends stand in the beam before the sixth piece, each far less likely than what goes on."""

    def sure(self: Rules, logits: Tensor, written: Tensor) -> Tensor:
        place = written.shape[1] - 1
        scores = torch.full_like(logits, -20.0)
        scores[:, 3] = -5.0 if place < 6 else -0.01
        scores[:, 10 + place] = -0.01
        return scores

    monkeypatch.setattr(Rules, "log_probabilities", sure)
    for beam in (1, 3):
        best = write(build(), sources([4]), beam=beam)[0][0]
        assert best.pieces == (10, 11, 12, 13, 14, 15)


def test_waiting_for_better_ones_finds_no_worse_ones() -> None:
    model, rows = build(seed=4), sources([5, 8, 2])
    early = write(model, rows, beam=3)
    late = write(model, rows, beam=3, early_stop=False)
    assert all(b[0].score >= a[0].score - 1e-4 for a, b in zip(early, late, strict=True))


def equal_pieces(model: AlbertForText2Text) -> AlbertForText2Text:
    """All pieces from 5 on are as likely as each other."""
    with torch.no_grad():
        model.albert.embeddings.word.weight[5:] = model.albert.embeddings.word.weight[5]
    return model


@pytest.mark.parametrize("beam", [1, 3])
def test_ties_go_to_the_lower_ids(beam: int) -> None:
    model, rows = equal_pieces(build(seed=1)), sources([4, 2, 6])
    for found in write(model, rows, beam=beam, count=beam, min_length=2, max_length=2):
        assert found[0].pieces == (5, 5)
        assert [one.pieces for one in found] == [(5, 5), (5, 6), (5, 7)][:beam]


# --- lengths, beginnings, repetitions ------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"beam": 3}, {"sample": True}])
def test_the_limit_on_length_is_told_when_it_is_hit(options: dict[str, Any]) -> None:
    model, rows = build(), sources([4, 3])
    with torch.no_grad():
        model.head.bias[3] = -1e4  # it never wants to end
    for found in write(model, rows, max_length=5, **options):
        assert len(found[0].pieces) == 5
        assert found[0].cut
    with torch.no_grad():
        model.head.bias[3] = 1e4  # now it does at once
    for found in write(model, rows, min_length=2, **options):
        assert len(found[0].pieces) == 2
        assert not found[0].cut


@pytest.mark.parametrize("options", [{}, {"beam": 2}, {"sample": True}])
def test_the_positions_are_a_limit_too(options: dict[str, Any]) -> None:
    model = build(max_position_embeddings=8)
    with torch.no_grad():
        model.head.bias[3] = -1e4
    assert [len(found[0].pieces) for found in write(model, sources([4]), max_length=50, **options)] == [7]


@pytest.mark.parametrize("options", [{}, {"beam": 4}, {"sample": True}])
def test_texts_begin_as_they_are_told(options: dict[str, Any]) -> None:
    model, rows = build(seed=6), sources([4, 7])
    for row, found in zip(rows, write(model, rows, prefix=(9, 30, 9), **options), strict=True):
        assert found[0].pieces[:3] == (9, 30, 9)
        assert found[0].token_scores[1] == pytest.approx(float(next_scores(model, row, [9])[30]), abs=1e-4)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("beam", [1, 3])
def test_no_ngram_comes_twice(size: int, beam: int) -> None:
    model = build(vocab=12, seed=8)
    with torch.no_grad():
        model.head.bias[3] = -3
    rows = sources([3, 5], vocab=12)
    for found in write(model, rows, beam=beam, no_repeat_ngram=size):
        pieces = found[0].pieces
        grams = [pieces[at : at + size] for at in range(len(pieces) - size + 1)]
        assert len(set(grams)) == len(grams)


def test_a_penalty_on_repetition_makes_them_fewer() -> None:
    model, rows = build(vocab=20, seed=1), sources([5, 3, 8, 2], vocab=20)
    with torch.no_grad():
        model.head.bias[3] = -4

    def repeated(penalty: float) -> int:
        found = write(model, rows, repetition_penalty=penalty)
        return sum(len(one[0].pieces) - len(set(one[0].pieces)) for one in found)

    assert repeated(5.0) < repeated(1.0)


@pytest.mark.parametrize("options", [{}, {"beam": 3}, {"sample": True}])
def test_batches_shrink_as_texts_end(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    model, rows = build(seed=4), sources([4, 9, 2, 7, 3, 5])
    with torch.no_grad():
        model.head.bias[3] = 2
    sizes: list[int] = []
    step = AlbertForText2Text.write

    def counted(self: AlbertForText2Text, target_ids: Tensor, *rest: Any) -> Any:
        sizes.append(len(target_ids))
        return step(self, target_ids, *rest)

    monkeypatch.setattr(AlbertForText2Text, "write", counted)
    found = write(model, rows, **options)
    lengths = sorted(len(one[0].pieces) for one in found)
    assert lengths[0] < lengths[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] == len(rows) * options.get("beam", 1)


# --- draws -------------------------------------------------------------------------------------------------


def test_seeds_draw_other_texts_and_the_same_ones_again() -> None:
    model, rows = build(seed=2), sources([4, 4, 4])
    first = write(model, rows, sample=True, seed=1, temperature=2.0)
    assert write(model, rows, sample=True, seed=1, temperature=2.0) == first
    assert [f[0].pieces for f in write(model, rows, sample=True, seed=2, temperature=2.0)] != [
        f[0].pieces for f in first
    ]


@pytest.mark.parametrize("options", [{"sampling_top_k": 1}, {"top_p": 1e-6}])
def test_draws_without_a_choice_are_greedy(options: dict[str, Any]) -> None:
    model, rows = build(seed=2), sources([4, 6])
    found = [one[0].pieces for one in write(model, rows, sample=True, **options)]
    assert found == [one[0].pieces for one in write(model, rows)]


def test_draws_follow_the_probabilities() -> None:
    model, row = build(vocab=8, seed=9), sources([3], vocab=8)[0]
    wanted = next_scores(model, row, []).softmax(0)  # without the end, which may not come first
    found = write(model, [row], count=4000, sample=True, max_length=1)[0]
    for piece in (5, 6, 7):
        share = sum(one.pieces[0] == piece for one in found) / len(found)
        assert share == pytest.approx(float(wanted[piece]), abs=0.04)


def test_top_k_and_top_p_leave_the_unlikely_out() -> None:
    model, row = build(seed=9), sources([3])[0]
    wanted = next_scores(model, row, []).softmax(0)
    order = wanted.argsort(descending=True).tolist()
    drawn = {one.pieces[0] for one in write(model, [row], count=300, sample=True, max_length=1, sampling_top_k=3)[0]}
    assert drawn <= set(order[:3])
    enough = int((wanted[order].cumsum(0) < 0.5).sum()) + 1
    drawn = {one.pieces[0] for one in write(model, [row], count=300, sample=True, max_length=1, top_p=0.5)[0]}
    assert drawn <= set(order[:enough])


# --- options out of range --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"beam": 0}, "beam"),
        ({"beam": 1000}, "beam"),
        ({"beam": 2, "sample": True}, "beam"),
        ({"temperature": 0.5}, "sample=True"),
        ({"sampling_top_k": 5}, "sample=True"),
        ({"top_p": 0.0, "sample": True}, "top_p"),
        ({"top_p": float("nan"), "sample": True}, "top_p"),
        ({"temperature": 0.0, "sample": True}, "temperature"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty"),
        ({"length_penalty": "long"}, "length_penalty"),
        ({"min_length": 9, "max_length": 3}, "min_length"),
        ({"max_length": 0}, "max_length"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(AlbertError, match=told) as caught:
        GenerationOptions(**options)
    assert caught.value.kind is ErrorKind.USAGE


def test_more_answers_than_the_beam_is_wide_are_refused() -> None:
    with pytest.raises(AlbertError, match="3 answers a text: expected at most the beam's 2"):
        write(build(), sources([3]), beam=2, count=3)
