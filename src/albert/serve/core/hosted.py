"""A model under its name: its endpoints, the rows that the engine computes, and the answers made from logits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from albert.data.batches import Features
from albert.data.examples import Example
from albert.errors import AlbertError, ErrorKind
from albert.generation import GenerationOptions
from albert.model.folder import ModelFolder
from albert.predict.draft import Draft
from albert.predict.mask_predict import Filling, Masked
from albert.predict.moderation import SAFE_LABELS, moderated
from albert.predict.open import open_model
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.predict.vectors import pooled, text_features
from albert.predict.writer import Writer
from albert.serve.core.queue import Account, Computed, Lane
from albert.serve.core.refusals import invalid, too_large, unsupported
from albert.tasks import DecodeOptions, Prediction
from albert.tasks.base import Output
from albert.text.pieces import Pieces

_CARD_BYTES = 200_000  # the most bytes of a model card that are shown
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ALSO = {"embed": "/v1/embeddings", "moderations": "/v1/moderations", "generate": "/translate"}


@dataclass(frozen=True)
class Source:
    """Where a model comes from, and its name on the server."""

    name: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Source:
        """Reads `NAME=FOLDER`, or a folder or hub id without a name. The last part of the path is then the name.

        Raises `AlbertError` (usage) for a name that cannot be part of a URL's path.
        """
        name, equals, path = text.partition("=")
        if not equals or "/" in name:
            name, path = Path(text).resolve().name if Path(text).exists() else text.rpartition("/")[2], text
        if not _NAME.fullmatch(name):
            raise AlbertError(
                ErrorKind.USAGE, f"model name {name!r}", expected="letters, digits, dots, dashes and underscores",
                hint="give it one: NAME=FOLDER",
            )  # fmt: skip
        return cls(name, path)


class Hosted:
    """A loaded model. Its weights are in memory, so later changes to its folder do not affect it."""

    def __init__(
        self, source: Source, model: Predictor | PretrainedModel, *, safe: Sequence[str] = SAFE_LABELS
    ) -> None:
        self.source = source
        self.name = source.name
        self.model = model
        self.tokenizer = model.tokenizer
        self.config = model.config
        self.safe = tuple(safe)
        self.fingerprint = ""
        self.card = ""  # Markdown
        self.abilities = model.abilities
        self.max_length = model.max_length
        self.embeds = "embed" in self.abilities
        self.label_vectors: dict[tuple[str, ...], np.ndarray] = {}  # by what they are made from
        self.probe_lane = self._open_lanes()

    def _open_lanes(self) -> Lane:
        """Makes the lanes of the queue that compute this model, and returns the one for a probe."""
        self.engine = self.model.engine
        self.logits_lane = Lane(f"{self.name}/logits", self._logits)
        self.states_lane = Lane(f"{self.name}/states", self._states)
        self.vectors_lane = Lane(f"{self.name}/vectors", self._vectors)
        if self.embeds and isinstance(self.model, Predictor):  # its logits are vectors
            self.vectors_lane = self.logits_lane
        return self.vectors_lane if self.embeds else self.logits_lane

    @classmethod
    def load(cls, source: Source, *, precision: str = "auto", safe: Sequence[str] = SAFE_LABELS) -> Hosted:
        """Reads and verifies a model folder or hub id. `safe` labels are those that moderation does not flag.

        Raises `AlbertError` as `Predictor.load` does.
        """
        folder = ModelFolder.open(source.path)
        kind = HostedWriter if folder.writes else cls
        hosted = kind(source, open_model(folder, precision=precision), safe=safe)  # type: ignore[arg-type]
        hosted.fingerprint = folder.fingerprint
        hosted.card = _card(folder.path / "README.md")
        return hosted

    def require(self, ability: str) -> None:
        """Raises `Refusal` (unsupported) when this model does not serve the endpoint `ability`."""
        if ability not in self.abilities:
            can = ", ".join(f"/{name}" for name in sorted(self.abilities))
            raise unsupported(f"model {self.name} does not do /{ability}; it does {can}")

    @property
    def predictor(self) -> Predictor:
        """The model as a `Predictor`, for endpoints that only fine-tuned models serve."""
        assert isinstance(self.model, Predictor)
        return self.model

    @property
    def chooses(self) -> bool:
        """Whether the model chooses among given answers."""
        return self.model.model.head_name == "multiple_choice"

    @property
    def precision(self) -> str:
        """The number format in which the model is computed."""
        return "int8" if self.engine.int8 else self.engine.precision

    @property
    def task(self) -> str:
        """The task that the model was trained for."""
        return self.model.task.name if isinstance(self.model, Predictor) else "pre-training"

    def endpoints(self) -> set[str]:
        """The paths that the model serves."""
        paths = {f"/{name}" for name in self.abilities - {"moderations"}}
        return paths | {path for name, path in _ALSO.items() if name in self.abilities}

    # --- rows ------------------------------------------------------------------------------------------

    def encode(self, examples: Sequence[Example]) -> tuple[Features, int]:
        """The rows of the examples as the task needs them, and how many texts were cut."""
        try:
            return self.predictor.features(examples)
        except AlbertError as error:
            raise invalid(_said(error)) from None

    def encode_texts(self, texts: Sequence[str]) -> tuple[Features, int]:
        """A row a text, and how many were cut."""
        return text_features(self.tokenizer, texts, self.max_length)

    def _logits(self, features: Features) -> Computed:
        # One batch: the queue has already kept to the budget, in tokens without padding.
        found = self.engine.exits(features, max_tokens=len(features) * int(features.lengths.max()))
        return Computed(found.logits, float(found.depths.mean()))

    def _states(self, features: Features) -> Computed:
        assert isinstance(self.model, PretrainedModel)
        return Computed(self.model.states_at_masks(features))

    def _vectors(self, features: Features) -> Computed:
        return Computed(pooled(self.engine, features))

    # --- predictions -----------------------------------------------------------------------------------

    def outputs(self, examples: Sequence[Example], features: Features, rows: list[np.ndarray]) -> list[Output]:
        """The examples with the head's output for each of their rows."""
        return Output.each(examples, features, rows)

    def decode(self, outputs: Sequence[Output], options: DecodeOptions) -> list[list[Prediction]]:
        """The predictions for each example."""
        return self.predictor.decode(outputs, options)

    def scores(self, outputs: Sequence[Output], *, raw: bool) -> list[list[Prediction]]:
        """Every label with its score, best first. With `raw`, scores are logits."""
        return self.decode(outputs, DecodeOptions(top_k=None, raw_scores=raw))

    def moderated(self, outputs: Sequence[Output]) -> list[dict[str, Any]]:
        """Each text with what flags it."""
        own = self.predictor
        return moderated(own.task, outputs, own.labels, thresholds=own.thresholds, safe=self.safe)

    def tokens(self, text: str, pieces: Pieces, special: bool) -> list[dict[str, Any]]:
        """The pieces of a text, uncut, in the shape of text-embeddings-inference."""
        found = [
            {"id": token, "text": text[start:stop], "special": False, "start": start, "stop": stop}
            for token, (start, stop) in zip(pieces.ids.tolist(), pieces.offsets.tolist(), strict=True)
        ]
        if not special:
            return found
        first, last = (
            {"id": token, "text": self.tokenizer.vocabulary[token], "special": True, "start": None, "stop": None}
            for token in (self.tokenizer.special.cls, self.tokenizer.special.sep)
        )
        return [first, *found, last]

    # --- masks -----------------------------------------------------------------------------------------

    def masked(self, texts: Sequence[str]) -> tuple[Features, list[Masked]]:
        """Rows with [MASK] in them, and where their pieces stand. Raises `Refusal` (invalid, too large)."""
        assert isinstance(self.model, PretrainedModel)
        try:
            return self.model.masked_rows(texts)
        except AlbertError as error:
            refuse = too_large if "pieces" in error.what else invalid
            raise refuse(f"expected {error.expected}") from None

    def fill(self, text: str, found: Masked, states: np.ndarray, top_k: int) -> Any:
        """The likeliest pieces at each [MASK], whose states are given."""
        assert isinstance(self.model, PretrainedModel)
        return self.model.fill_states(text, found, states, top_k=top_k)

    def choose(self, filling: Filling, states: np.ndarray) -> None:
        """The next step of a text whose masks are filled together, from the states at those that are open."""
        assert isinstance(self.model, PretrainedModel)
        filling.take(self.model.scores_at_masks(states))

    # --- about -----------------------------------------------------------------------------------------

    def kind(self) -> dict[str, Any]:
        """The model's type in the shape of text-embeddings-inference."""
        labels = self.config.id2label
        table = {
            "id2label": {str(index): label for index, label in enumerate(labels)},
            "label2id": {label: index for index, label in enumerate(labels)},
        }
        if self.embeds:
            return {"embedding": {"pooling": "mean"}}
        if "rerank" in self.abilities:
            return {"reranker": table}
        return {"classifier": table}


class HostedWriter(Hosted):
    """A loaded model that writes texts. It has no engine: the decoder computes its own steps.

    `texts` is what whole requests have cost, by their room at the desk.
    """

    @property
    def writer(self) -> Writer:
        """The model as a `Writer`."""
        assert isinstance(self.model, Writer)
        return self.model

    def _open_lanes(self) -> Lane:
        self.texts = Account()
        return Lane(f"{self.name}/begin", self._begin)

    @torch.inference_mode()
    def _begin(self, features: Features) -> Computed:
        """Reads texts, and gives a score for each piece that could come first."""
        network, batch = self.writer.form, features.batch(range(len(features)))
        memory = network.read(batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids)
        first = torch.full((len(features), 1), self.tokenizer.special.cls)
        return Computed(list(network.logits(network.write_each([(first, memory, None)])[0]).numpy()))

    def draft(self, features: Features, options: GenerationOptions, count: int) -> Draft:
        """Texts for encoded examples, to be written. Raises `Refusal` (invalid) for options that do not fit."""
        try:
            return self.writer.draft(features, options, count)
        except AlbertError as error:
            texts = next((name for name in ("prefix", "words") if error.what.startswith(name)), None)
            what = texts or error.what  # without the text itself
            raise invalid(f"{what}: expected {error.expected}") from None

    def scores(self, outputs: Sequence[Output], *, raw: bool) -> list[list[Prediction]]:
        """The best text of each. Raises `Refusal` (invalid) for raw scores."""
        if raw:
            raise invalid("raw_scores: expected a model with labels")
        return self.decode(outputs, DecodeOptions())

    @property
    def chooses(self) -> bool:
        return False

    @property
    def precision(self) -> str:
        return self.writer.precision

    def kind(self) -> dict[str, Any]:
        return {"text2text": {}}


def _card(path: Path) -> str:
    """A model card or its beginning; "" if there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_CARD_BYTES).decode("utf-8", "replace")


def _said(error: AlbertError) -> str:
    """A task's message about its input, without any part of the input."""
    return f"{error.what}: expected {error.expected}"
