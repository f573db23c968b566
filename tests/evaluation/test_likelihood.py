"""The pseudo-log-likelihood of texts against a slow, direct computation with the reference network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from albert.config import MASK_ID, AlbertConfig
from albert.evaluation.likelihood import pseudo_log_likelihoods
from albert.model import AlbertForTask
from albert.text.tokenizer import AlbertTokenizer

TEXTS = [
    "Who should Derek hug after shocking Richard?",
    "",
    "It rains.",
    "Incomprehensibilities, surely!",
    "word " * 80,
]
LIMIT = 32  # the last text is cut


def network(tokenizer: AlbertTokenizer, head: str) -> AlbertForTask:
    config = AlbertConfig.named("tiny", vocab_size=tokenizer.vocab_size, max_position_embeddings=LIMIT)
    model = AlbertForTask(config, head, generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():  # as drawn, all pieces would be about as likely
        model.albert.embeddings.word.weight.mul_(20)
    return model


@torch.inference_mode()
def directly(model: AlbertForTask, tokenizer: AlbertTokenizer, text: str, *, within_word: bool) -> float:
    """One forward pass a piece."""
    encoding = tokenizer(text, max_length=LIMIT)
    ids, total = encoding.input_ids, 0.0
    for place in range(1, len(ids) - 1):
        masked = ids.copy()
        masked[place] = MASK_ID
        for after in range(place + 1, len(ids) - 1):
            piece = tokenizer.vocabulary[ids[after]]
            if not within_word or not piece.isalnum():  # no mark of a space, no punctuation: it goes on the word
                break
            masked[after] = MASK_ID
        scores = model(torch.tensor([masked]))
        scores = scores[0] if isinstance(scores, tuple) else scores
        total += float(scores[0, place].log_softmax(0)[ids[place]])
    return total


@pytest.mark.parametrize("within_word", [False, True])
@pytest.mark.parametrize("head", ["pretraining", "masked_lm"])
def test_it_is_the_sum_over_pieces_masked_in_turn(tokenizer: AlbertTokenizer, head: str, within_word: bool) -> None:
    model = network(tokenizer, head)
    found = pseudo_log_likelihoods(model, tokenizer, TEXTS, within_word=within_word, precision="fp32")
    wanted = [directly(model, tokenizer, text, within_word=within_word) for text in TEXTS]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)
    assert wanted[1] == 0
    assert min(wanted) < -100


def test_hiding_the_rest_of_the_word_matters_where_a_word_has_several_pieces(tokenizer: AlbertTokenizer) -> None:
    model = network(tokenizer, "masked_lm")
    assert len(tokenizer.tokenize("Incomprehensibilities")) > 2
    one, other = (
        pseudo_log_likelihoods(
            model, tokenizer, ["It can rain", "Incomprehensibilities"], within_word=within, precision="fp32"
        )
        for within in (False, True)
    )
    assert one[0] == pytest.approx(other[0])
    assert one[1] != pytest.approx(other[1], abs=1e-2)


def test_many_texts_keep_their_order(tokenizer: AlbertTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions of texts and batches of copies change nothing."""
    model = network(tokenizer, "masked_lm")
    whole = pseudo_log_likelihoods(model, tokenizer, TEXTS * 3, precision="fp32")
    monkeypatch.setattr("albert.evaluation.likelihood._TEXTS", 4)
    monkeypatch.setattr("albert.evaluation.likelihood._MAX_TOKENS", 64)
    np.testing.assert_allclose(pseudo_log_likelihoods(model, tokenizer, TEXTS * 3, precision="fp32"), whole, rtol=1e-5)
