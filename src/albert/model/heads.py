"""What stands on the encoder: a head a task family, and `AlbertForTask`, the encoder with one of them."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.model.network import ACTIVATIONS, AlbertModel, EncoderOutput, initialize


class Head(nn.Module):
    """A head: its transformers architecture, whether it reads the pooled vector, whether labels size it."""

    architecture: ClassVar[str]
    needs_pooler: ClassVar[bool] = True
    labelled: ClassVar[bool] = False


class MaskedLMHead(Head):
    """Scores over the vocabulary: Linear(H -> E), activation, LayerNorm, tied word embeddings and a bias."""

    architecture = "AlbertForMaskedLM"
    needs_pooler = False

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
        """What is compared with the embeddings."""
        x: Tensor = self.norm(self.activation(self.dense(hidden)))
        return x


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

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.mlm = MaskedLMHead(config)
        self.sop = SentenceOrderHead(config)


class SequenceClassificationHead(Head):
    """One score a label (one in all for regression) from the pooled vector."""

    architecture = "AlbertForSequenceClassification"
    labelled = True

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.linear = nn.Linear(config.hidden_size, max(config.num_labels, 1))

    def forward(self, pooled: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch labels"]:
        logits: Tensor = self.linear(self.dropout(pooled))
        return logits


class TokenClassificationHead(Head):
    """One score a label at every position."""

    architecture = "AlbertForTokenClassification"
    labelled = True
    needs_pooler = False

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
    needs_pooler = False

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq 2"]:
        logits: Tensor = self.linear(hidden)
        return logits


class MultipleChoiceHead(Head):
    """One score a choice; each choice is a sequence of its own."""

    architecture = "AlbertForMultipleChoice"

    def __init__(self, config: AlbertConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.linear = nn.Linear(config.hidden_size, 1)

    def forward(self, pooled: Float[Tensor, "choices_flat hidden"], choices: int) -> Float[Tensor, "batch choices"]:
        return self.linear(self.dropout(pooled)).view(-1, choices)


class EmbeddingHead(Head):
    """The mean of the last hidden states over the pieces of a text: a vector for it, without weights of its own."""

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
        """With `exits` a head of the same kind stands behind every depth but the last, too (PABEE, Zhou et al. 2020).

        Raises `AlbertError` (bad-config) where a depth is several blocks.
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
        """The logits of the head, or of another of its kind, from what the encoder gives."""
        head, words = head or self.head, self.albert.embeddings.word.weight
        match head:
            case MaskedLMHead():
                return head(hidden, words)
            case PreTrainingHead():
                return head.mlm(hidden, words), head.sop(pooled)
            case EmbeddingHead():
                return head(hidden, attention_mask)
            case MultipleChoiceHead():
                return head(pooled, choices)
            case _ if head.needs_pooler:
                return head(pooled)
        return head(hidden)

    @property
    def reads_first(self) -> bool:
        """Whether the head reads the first position of the last layer alone."""
        return self.head.needs_pooler and self.head_name != "pretraining" and self.config.pooling == "cls"
