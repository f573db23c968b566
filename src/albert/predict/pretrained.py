"""`PretrainedModel`: fills masks and judges the order of sentences, before any fine-tuning."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float

from albert.config import AlbertConfig
from albert.data.batches import Features
from albert.data.reading import DataSource
from albert.engine import Engine, Precision
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, load_model
from albert.model.folder import ModelFolder
from albert.model.heads import MaskedLMHead, PreTrainingHead
from albert.predict import vectors
from albert.predict.abilities import PRETRAINED, require_length
from albert.predict.mask_predict import Filling, Masked
from albert.tasks import DecodeOptions
from albert.text.encodings import Encoding, Tokenizer
from albert.text.open import open_tokenizer

_PORTION = 256  # texts whose masks are filled at a time


class PretrainedModel:
    """A model folder with a masked-language-model head, ours or a published one."""

    abilities = PRETRAINED

    def __init__(
        self, model: AlbertForTask, tokenizer: Tokenizer, *, precision: Precision = "auto", fingerprint: str = ""
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.precision: Precision = precision
        self.fingerprint = fingerprint  # of the files it came from
        self._length: int | None = None  # in the place of the model's
        self.cut = 0  # texts so far that were longer than the model reads

    @classmethod
    def load(cls, name: str | Path | ModelFolder, *, precision: Precision = "auto") -> Self:
        """Loads a model folder or hub id. Raises `AlbertError` (bad-model) for one without the head.

        `precision` is that of vectors and of masks that are filled in several texts at once.
        """
        folder = ModelFolder.open(name)
        model = load_model(folder)
        if not isinstance(model.head, (MaskedLMHead, PreTrainingHead)):
            raise AlbertError(
                ErrorKind.MODEL, folder.name, expected="a pre-trained model", got=f"head {model.head_name!r}"
            )
        return cls(
            model, open_tokenizer(folder.path, config=model.config), precision=precision, fingerprint=folder.fingerprint
        )

    @cached_property
    def engine(self) -> Engine:
        """The fast forward pass."""
        return Engine(self.model, self.precision)

    @property
    def config(self) -> AlbertConfig:
        return self.model.config

    def embed(
        self, texts: Sequence[str], *, normalize: bool = True, dimensions: int | None = None
    ) -> Float[np.ndarray, "texts size"]:
        """The mean over the pieces of each text, of length 1 unless told otherwise; longer texts are cut.

        Of `dimensions` the first are kept. Raises `AlbertError` (usage) for more than there are.
        """
        return vectors.embed(self, texts, normalize=normalize, dimensions=dimensions)

    def vectors(self, features: Features) -> list[np.ndarray]:
        """The mean over the pieces of each row."""
        return vectors.pooled(self.engine, features)

    @torch.inference_mode()
    def fill_mask(self, texts: str | Sequence[str], *, top_k: int = 5) -> list[Any]:
        """The likeliest pieces at [MASK], best first: `{score, token, token_str, sequence}`, as transformers'.

        Several [MASK]s give a list each, and so do several texts, which are computed together by the fast forward
        pass. Raises `AlbertError`: bad-data for no [MASK] or a text beyond the model's length, usage for a `top_k`
        below 1.
        """
        if isinstance(texts, str):
            ids, offsets = self.masked(texts)
            hidden = self.model.albert(torch.tensor([ids])).last_hidden_state[0]
            return self.fill(texts, ids, offsets, hidden, top_k=top_k)
        filled = []
        for start in range(0, len(texts), _PORTION):
            portion = texts[start : start + _PORTION]
            features, places = self.masked_rows(portion)
            states = self.states_at_masks(features)
            filled += [
                self.fill_states(text, found, each, top_k=top_k)
                for text, found, each in zip(portion, places, states, strict=True)
            ]
        return filled

    def fill_together(self, texts: str | Sequence[str], *, steps: int = 10) -> Any:
        """Fills all masks of a text together, in up to so many steps, each piece in view of the others.

        Gives `{sequence, score, tokens}`: the text, the geometric mean of the probabilities of its new pieces, and
        `{token, token_str, score}` of each; a list of these for several texts. Raises `AlbertError`: bad-data as
        `fill_mask`, usage for fewer than one step. Source: mask-predict, Ghazvininejad et al. 2019, section 3.
        """
        if isinstance(texts, str):
            return self.fill_together([texts], steps=steps)[0]
        every = [Filling(text, self.masked(text), self.tokenizer, steps) for text in texts]
        for start in range(0, len(every), _PORTION):
            while open_ones := [one for one in every[start : start + _PORTION] if not one.done]:
                states = self.states_at_masks(Features.build([one.row for one in open_ones]))
                for one, own in zip(open_ones, states, strict=True):
                    one.take(self.scores_at_masks(own))
        return [one.result() for one in every]

    @torch.inference_mode()
    def scores_at_masks(self, states: Float[np.ndarray, "masks hidden"]) -> Float[np.ndarray, "masks vocab"]:
        """The log-probability of each piece at a mask, of special ones minus infinity."""
        scores = self._scores(torch.from_numpy(states)).log()
        special = self.tokenizer.special
        scores[:, [special.pad, special.unk, special.cls, special.sep, special.mask]] = -torch.inf
        return scores.numpy()

    def _scores(self, hidden: Float[torch.Tensor, "pieces hidden"]) -> Float[torch.Tensor, "pieces vocab"]:
        """The probability of each piece of the vocabulary."""
        head = self.model.head.mlm if isinstance(self.model.head, PreTrainingHead) else self.model.head
        scores = head(hidden, self.model.albert.embeddings.word.weight).softmax(1)
        return scores[:, : self.tokenizer.vocab_size]  # a table may have spare rows

    def masked_rows(self, texts: Sequence[str]) -> tuple[Features, list[Masked]]:
        """A row a text, and what `masked` gives of it."""
        found = [self.masked(text) for text in texts]
        encodings = [Encoding(ids, [0] * len(ids), [1] * len(ids), offsets, [], []) for ids, offsets in found]
        return Features.build(encodings), found

    def states_at_masks(self, features: Features) -> list[np.ndarray]:
        """The last hidden states of each row at its masks alone: those of all pieces are 50 MB for long texts."""
        rows = np.split(features.ids, features.starts[1:-1])
        states = self.engine.states(features)
        return [each[row == self.tokenizer.special.mask] for row, each in zip(rows, states, strict=True)]

    def fill_states(self, text: str, found: Masked, states: np.ndarray, *, top_k: int) -> list[Any]:
        """`fill_mask` from what `masked` gave and the states at the masks."""
        masks = np.asarray(found[0]) == self.tokenizer.special.mask
        hidden = np.zeros((len(masks), states.shape[1]), np.float32)
        hidden[masks] = states
        return self.fill(text, *found, torch.from_numpy(hidden), top_k=top_k)

    @torch.inference_mode()
    def fill(
        self,
        text: str,
        ids: list[int],
        offsets: list[tuple[int, int]],
        hidden: Float[torch.Tensor, "pieces hidden"],
        *,
        top_k: int,
    ) -> list[Any]:
        """`fill_mask` from the result of `masked` and the last hidden states of those pieces."""
        DecodeOptions(top_k=top_k)  # refuses an invalid number of pieces
        positions = [at for at, token in enumerate(ids) if token == self.tokenizer.special.mask]
        scores = self._scores(hidden[positions])
        best = scores.topk(min(top_k, scores.shape[1]))
        filled = []
        for at, values, tokens in zip(positions, best.values.tolist(), best.indices.tolist(), strict=True):
            start, end = offsets[at]
            filled.append(
                [
                    {
                        "score": score,
                        "token": token,
                        "token_str": self.tokenizer.decode([token]),
                        "sequence": text[:start] + self.tokenizer.in_place_of_mask(token) + text[end:],
                    }
                    for score, token in zip(values, tokens, strict=True)
                ]
            )
        return filled[0] if len(filled) == 1 else filled

    @torch.inference_mode()
    def in_order(self, first: str, second: str) -> float:
        """The probability that `second` follows `first`. The alternative is the reverse order, or for BERT a random
        text.

        Raises `AlbertError` (bad-model) for a model without the sentence-order head.
        """
        if not isinstance(self.model.head, PreTrainingHead):
            raise AlbertError(ErrorKind.MODEL, "sentence order", expected="a head for it", got=self.model.head_name)
        encoding = self.tokenizer(first, second, max_length=self.max_length)
        _, order = self.model(
            torch.tensor([encoding.input_ids]), token_type_ids=torch.tensor([encoding.token_type_ids])
        )
        return float(order.softmax(1)[0, 0])

    @property
    def max_length(self) -> int:
        """The pieces that it reads at once."""
        return self._length or min(self.tokenizer.max_length, self.model.config.max_position_embeddings)

    def fitted(self, source: DataSource) -> Self:
        """This model with the length that a source asks for. Raises `AlbertError` (usage) beyond the model's."""
        if source.max_length is None:
            return self
        require_length(source.max_length, self.max_length)
        other = copy.copy(self)
        other._length = source.max_length
        return other

    def identity(self) -> dict[str, Any]:
        """All of it that changes an answer."""
        hardening = self.tokenizer.hardening
        return {
            "model": self.fingerprint,
            "precision": self.engine.precision,
            "device": self.engine.device.type,
            "hardening": None if hardening is None else hardening.to_dict(),
            "lengths": self.max_length,
        }

    def masked(self, text: str) -> Masked:
        """Ids with [MASK] where the text spells it, and the characters each came from.

        Raises `AlbertError` (bad-data) for no [MASK], or for a text longer than the model reads.
        """
        mask, special = self.tokenizer.mask, self.tokenizer.special
        parts = text.split(mask)
        if len(parts) == 1:
            raise AlbertError(ErrorKind.DATA, f"{text[:60]!r}", expected=f"a {mask} to fill", got="none")
        ids, offsets, start = [special.cls], [(0, 0)], 0
        for number, (part, pieces) in enumerate(zip(parts, self.tokenizer.pieces(parts), strict=True)):
            if number:
                ids.append(special.mask)
                offsets.append((start - len(mask), start))
            tokens = pieces.ids.tolist()
            if number and tokens and not part[0].isspace():
                tokens[0] = self.tokenizer.after_mask(tokens[0])
            ids += [token for token in tokens if token is not None]
            offsets += [
                (start + a, start + b)
                for token, (a, b) in zip(tokens, pieces.offsets.tolist(), strict=True)
                if token is not None
            ]
            start += len(part) + len(mask)
        ids.append(special.sep)
        offsets.append((0, 0))
        if len(ids) > self.max_length:
            raise AlbertError(
                ErrorKind.DATA, f"a text of {len(ids)} pieces", expected=f"at most {self.max_length}", hint="shorten it"
            )
        return ids, offsets

    def __repr__(self) -> str:
        return f"PretrainedModel({self.model.config.num_hidden_layers} layers, {self.tokenizer.vocab_size:,} pieces)"
