"""`PretrainedModel`: fills masks and judges the order of sentences, before any fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float

from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, load_model
from albert.model.folder import ModelFolder
from albert.model.heads import MaskedLMHead, PreTrainingHead
from albert.tasks import DecodeOptions
from albert.text.encodings import Tokenizer
from albert.text.open import open_tokenizer


class PretrainedModel:
    """A model folder with a masked-language-model head, ours or a published one."""

    def __init__(self, model: AlbertForTask, tokenizer: Tokenizer) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, name: str | Path | ModelFolder) -> Self:
        """Loads a model folder or hub id. Raises `AlbertError` (bad-model) for a model without a head for masks."""
        folder = ModelFolder.open(name)
        model = load_model(folder)
        if not isinstance(model.head, (MaskedLMHead, PreTrainingHead)):
            raise AlbertError(
                ErrorKind.MODEL, folder.name, expected="a pre-trained model", got=f"head {model.head_name!r}"
            )
        return cls(model, open_tokenizer(folder.path, config=model.config))

    @torch.inference_mode()
    def fill_mask(self, text: str, *, top_k: int = 5) -> list[Any]:
        """The most likely pieces at [MASK], best first: `{score, token, token_str, sequence}`, as in transformers.

        Several [MASK]s give a list each. Raises `AlbertError`: bad-data for no [MASK] or for a text longer than the
        model reads, usage for a `top_k` below 1.
        """
        ids, offsets = self.masked(text)
        hidden = self.model.albert(torch.tensor([ids])).last_hidden_state[0]
        return self.fill(text, ids, offsets, hidden, top_k=top_k)

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
        head = self.model.head.mlm if isinstance(self.model.head, PreTrainingHead) else self.model.head
        scores = head(hidden[positions], self.model.albert.embeddings.word.weight).softmax(1)
        known = min(self.tokenizer.vocab_size, scores.shape[1])  # a table may have spare rows
        best = scores[:, :known].topk(min(top_k, known))
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
        encoding = self.tokenizer(first, second, max_length=self.limit)
        _, order = self.model(
            torch.tensor([encoding.input_ids]), token_type_ids=torch.tensor([encoding.token_type_ids])
        )
        return float(order.softmax(1)[0, 0])

    @property
    def limit(self) -> int:
        """The number of pieces that the model reads at once."""
        return min(self.tokenizer.max_length, self.model.config.max_position_embeddings)

    def masked(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a text, with [MASK] where the text spells it, and the characters of each piece.

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
        if len(ids) > self.limit:
            raise AlbertError(
                ErrorKind.DATA, f"a text of {len(ids)} pieces", expected=f"at most {self.limit}", hint="shorten it"
            )
        return ids, offsets

    def __repr__(self) -> str:
        return f"PretrainedModel({self.model.config.num_hidden_layers} layers, {self.tokenizer.vocab_size:,} pieces)"
