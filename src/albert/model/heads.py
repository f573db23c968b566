"""The heads on the encoder, one per family of tasks, and `AlbertForTask`, the encoder with one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.model.network import ACTIVATIONS, AlbertModel, EncoderOutput, initialize

Names = Mapping[str, Mapping[str, str]]


def _alike(names: Mapping[str, str]) -> Names:
    """The same names in checkpoints of ALBERT and of BERT."""
    return {"albert": names, "bert": names}


@dataclass(frozen=True)
class Encoded:
    """The input of a head: the encoder's output, the word embeddings, and how many rows are choices of one question.

    `mask` is 1 at real positions and 0 at padding (None: no padding).
    """

    hidden: Float[Tensor, "batch seq hidden"]
    pooled: Float[Tensor, "batch hidden"] | None
    mask: Int[Tensor, "batch seq"] | None
    words: Float[Tensor, "vocab embedding"]
    choices: int = 1


class Head(nn.Module):
    """A head, and its properties.

    `architecture` is transformers' class. `names` gives a module's name in checkpoints, by family. `tied_bias` is our
    name of the masked-language-model bias. `needs_pooler`: it reads the pooled vector. `by_piece`: it has logits at
    every position. `labelled`: its size is the number of labels.
    """

    architecture: ClassVar[str]
    names: ClassVar[Names] = _alike({})
    tied_bias: ClassVar[str | None] = None
    needs_pooler: ClassVar[bool] = True
    by_piece: ClassVar[bool] = False
    labelled: ClassVar[bool] = False

    def read(self, encoded: Encoded) -> Tensor | tuple[Tensor, Tensor]:
        """The logits: [batch, labels], or [batch, seq, labels] where `by_piece`."""
        logits: Tensor = self(encoded.pooled if self.needs_pooler else encoded.hidden)
        return logits


class MaskedLMHead(Head):
    """Scores over the vocabulary: Linear(H -> E), activation, LayerNorm, tied word embeddings and a bias."""

    architecture = "AlbertForMaskedLM"
    names: ClassVar[Names] = {
        "albert": {"head.dense": "predictions.dense", "head.norm": "predictions.LayerNorm"},
        "bert": {
            "head.dense": "cls.predictions.transform.dense",
            "head.norm": "cls.predictions.transform.LayerNorm",
        },
    }
    tied_bias = "head.bias"
    needs_pooler = False
    by_piece = True

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(
        self, hidden: Float[Tensor, "*positions hidden"], words: Float[Tensor, "vocab embedding"]
    ) -> Float[Tensor, "*positions vocab"]:
        """`words` is the embedding table; give gathered positions [n, hidden] to score only those."""
        x = self.transform(hidden)
        return nn.functional.linear(x, words.to(x.dtype), self.bias.to(x.dtype))

    def transform(self, hidden: Float[Tensor, "*positions hidden"]) -> Float[Tensor, "*positions embedding"]:
        """The vectors that are compared with the embeddings."""
        x: Tensor = self.norm(self.activation(self.dense(hidden)))
        return x

    def read(self, encoded: Encoded) -> Tensor:
        logits: Tensor = self(encoded.hidden, encoded.words)
        return logits


class SentenceOrderHead(nn.Module):
    """Two scores of the pooled vector: in order or swapped (section 3.1); with other data, NSP."""

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.linear = nn.Linear(config.hidden_size, 2)

    def forward(self, pooled: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch 2"]:
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits


class PreTrainingHead(Head):
    """The masked-language-model and the sentence-order head together."""

    architecture = "AlbertForPreTraining"
    names: ClassVar[Names] = {
        "albert": {
            "head.mlm.dense": "predictions.dense",
            "head.mlm.norm": "predictions.LayerNorm",
            "head.sop.linear": "sop_classifier.classifier",
        },
        "bert": {
            "head.mlm.dense": "cls.predictions.transform.dense",
            "head.mlm.norm": "cls.predictions.transform.LayerNorm",
            "head.sop.linear": "cls.seq_relationship",
        },
    }
    tied_bias = "head.mlm.bias"
    by_piece = True

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.mlm = MaskedLMHead(config)
        self.sop = SentenceOrderHead(config)

    def read(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """The logits of masked pieces and those of the sentence order."""
        return self.mlm(encoded.hidden, encoded.words), self.sop(encoded.pooled)


class SequenceClassificationHead(Head):
    """One score per label (a single one for regression) from the pooled vector."""

    architecture = "AlbertForSequenceClassification"
    names = _alike({"head.linear": "classifier"})
    labelled = True

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.linear = nn.Linear(config.hidden_size, max(config.num_labels, 1))

    def forward(self, pooled: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch labels"]:
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits


class TokenClassificationHead(Head):
    """One score per label at every position."""

    architecture = "AlbertForTokenClassification"
    names = _alike({"head.linear": "classifier"})
    labelled = True
    needs_pooler = False
    by_piece = True

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.linear = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, hidden: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq labels"]:
        logits: Tensor = self.linear(self.dropout(hidden))
        return logits


class SpanHead(Head):
    """A start and an end score at every position (a plain span head: ends do not depend on starts)."""

    architecture = "AlbertForQuestionAnswering"
    names = _alike({"head.linear": "qa_outputs"})
    needs_pooler = False
    by_piece = True

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq 2"]:
        logits: Tensor = self.linear(hidden)
        return logits


class MultipleChoiceHead(Head):
    """One score per choice. Each choice is a sequence of its own."""

    architecture = "AlbertForMultipleChoice"
    names = _alike({"head.linear": "classifier"})

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.linear = nn.Linear(config.hidden_size, 1)

    def forward(self, pooled: Float[Tensor, "choices_flat hidden"], choices: int) -> Float[Tensor, "batch choices"]:
        return self.linear(self.dropout(pooled)).view(-1, choices)

    def read(self, encoded: Encoded) -> Tensor:
        logits: Tensor = self(encoded.pooled, encoded.choices)
        return logits


class EmbeddingHead(Head):
    """A vector of a text: the mean of the last hidden states over its pieces. It has no weights."""

    architecture = "AlbertModel"
    needs_pooler = False

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()

    def forward(
        self, hidden: Float[Tensor, "batch seq hidden"], mask: Int[Tensor, "batch seq"] | None
    ) -> Float[Tensor, "batch hidden"]:
        if mask is None:
            return hidden.mean(1)
        weights = mask.to(hidden.dtype).unsqueeze(-1)
        return (hidden * weights).sum(1) / weights.sum(1)

    def read(self, encoded: Encoded) -> Tensor:
        vectors: Tensor = self(encoded.hidden, encoded.mask)
        return vectors


HEADS: dict[str, type[Head]] = {
    "masked_lm": MaskedLMHead,
    "pretraining": PreTrainingHead,
    "sequence_classification": SequenceClassificationHead,
    "token_classification": TokenClassificationHead,
    "span": SpanHead,
    "multiple_choice": MultipleChoiceHead,
    "embedding": EmbeddingHead,
}


class AlbertForTask(nn.Module):
    """The encoder with the head that `HEADS` names. Weights are drawn from `generator`, the same on any machine.

    Every forward takes ids [batch, seq]. For multiple choice they may be [batch, choices, seq]; without that
    dimension each choice has its own score, [batch, 1].
    """

    def __init__(
        self, config: AlbertConfig, head: str, *, exits: bool = False, generator: torch.Generator | None = None
    ) -> None:
        """With `exits`, every depth but the last also has a head of the same kind (PABEE, Zhou et al. 2020).

        Raises `AlbertError` (bad-config) if a depth consists of several blocks.
        """
        super().__init__()
        if exits and config.inner_group_num != 1:
            raise AlbertError(
                ErrorKind.CONFIG, "early exit", expected="inner_group_num 1", got=str(config.inner_group_num)
            )
        kind = HEADS[head]
        self.config = config
        self.head_name = head
        self.albert = AlbertModel(config, pooler=kind.needs_pooler)
        self.head = kind(config)
        self.exits = nn.ModuleList([kind(config) for _ in range(config.num_hidden_layers - 1)]) if exits else None
        if generator is not None:
            initialize(self, config, generator)

    def forward(
        self,
        input_ids: Int[Tensor, "*batch seq"],
        *,
        attention_mask: Int[Tensor, "*batch seq"] | None = None,
        token_type_ids: Int[Tensor, "*batch seq"] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The head's logits; for pre-training the pair (MLM, sentence order)."""
        choices = input_ids.shape[1] if input_ids.ndim == 3 else 1
        if input_ids.ndim == 3:
            input_ids = input_ids.flatten(0, 1)
            attention_mask = None if attention_mask is None else attention_mask.flatten(0, 1)
            token_type_ids = None if token_type_ids is None else token_type_ids.flatten(0, 1)
        out: EncoderOutput = self.albert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        return self.read(out.last_hidden_state, out.pooler_output, attention_mask, choices=choices)

    def read(
        self,
        hidden: Float[Tensor, "batch seq hidden"],
        pooled: Float[Tensor, "batch hidden"] | None,
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        *,
        choices: int = 1,
        head: Head | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The logits of the head, or of another head of its kind, from the encoder's output."""
        words = self.albert.embeddings.word.weight
        return (head or self.head).read(Encoded(hidden, pooled, attention_mask, words, choices))

    @property
    def reads_first(self) -> bool:
        """Whether the head reads only the first position of the last layer."""
        return self.head.needs_pooler and not self.head.by_piece and self.config.pooling == "cls"
