"""The pseudo-log-likelihood of a text under a masked language model.

Sources: Salazar et al. 2020, "Masked Language Model Scoring"; Kauf and Ivanova 2023, "A Better Way to Do Masked
Language Model Scoring".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from albert.config import CLS_ID, MASK_ID, SEP_ID
from albert.data.batches import Features, inference_batches
from albert.engine import Engine, Precision
from albert.model import AlbertForTask
from albert.model.heads import MaskedLMHead, PreTrainingHead
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import word_starts

_MAX_TOKENS = 8192  # the most pieces of a batch
_TEXTS = 2048  # the rows whose masked copies are in memory at once


@torch.inference_mode()
def pseudo_log_likelihoods(
    model: AlbertForTask,
    tokenizer: AlbertTokenizer,
    texts: Sequence[str],
    *,
    within_word: bool = False,
    precision: Precision = "auto",
) -> np.ndarray:
    """For each text the sum of its pieces' log-probabilities, with each piece masked in turn: [texts], float64.

    With `within_word`, the following pieces of the same word are masked, too. Otherwise the rest of a rare word reveals
    its beginning, and long words look likely. Texts are cut at the model's length. [CLS] and [SEP] are not counted. The
    model needs a masked-language-model head.
    """
    assert isinstance(model.head, MaskedLMHead | PreTrainingHead)
    engine = Engine(model, precision)
    starts = word_starts(tokenizer.vocabulary) if within_word else None
    limit = min(tokenizer.max_length, model.config.max_position_embeddings)
    sums = [np.zeros(0)]
    for first in range(0, len(texts), _TEXTS):
        portion = texts[first : first + _TEXTS]
        rows = [np.array([CLS_ID, *ids[: limit - 2], SEP_ID], np.int32) for ids in tokenizer.ids(portion)]
        sums.append(_sums(engine, rows, starts))
    return np.concatenate(sums)


def _sums(engine: Engine, rows: list[np.ndarray], starts: np.ndarray | None) -> np.ndarray:
    """The pseudo-log-likelihood of each row of ids."""
    owners = np.repeat(np.arange(len(rows)), [len(row) - 2 for row in rows])
    places = np.concatenate([np.arange(1, len(row) - 1) for row in rows])
    copies = [masked for row in rows for masked in _masked_copies(row, starts)]
    wanted = np.concatenate([row[1:-1] for row in rows])
    lengths = np.array([len(copy) for copy in copies])
    found = np.zeros(len(copies))
    for indices in inference_batches(lengths, max_tokens=_MAX_TOKENS):
        ids = np.concatenate([copies[index] for index in indices])
        bounds = np.concatenate([[0], np.cumsum(lengths[indices])])
        states = engine.states(Features(ids, np.zeros(len(ids), np.int8), bounds, None))
        hidden = np.stack([state[place] for state, place in zip(states, places[indices], strict=True)])
        found[indices] = _log_probabilities(engine, hidden, wanted[indices])
    return np.bincount(owners, found, minlength=len(rows))


def _masked_copies(row: np.ndarray, starts: np.ndarray | None) -> list[np.ndarray]:
    """One copy of the row per piece, with that piece masked."""
    copies = []
    for place in range(1, len(row) - 1):
        after = place + 1
        while starts is not None and after < len(row) - 1 and not starts[row[after]]:
            after += 1
        copy = row.copy()
        copy[place:after] = MASK_ID
        copies.append(copy)
    return copies


def _log_probabilities(engine: Engine, hidden: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The log-probability of each piece at its position."""
    model = engine.model
    head = model.head.mlm if isinstance(model.head, PreTrainingHead) else model.head
    scores = head(torch.from_numpy(hidden).to(engine.device), model.albert.embeddings.word.weight).float()
    right = scores.gather(1, torch.from_numpy(ids).long().to(engine.device)[:, None])[:, 0]
    return (right - scores.logsumexp(1)).double().cpu().numpy()
