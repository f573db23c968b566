"""A model folder: found by its name once, its config.json read once, then handed on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.hub import model_folder
from albert.model.heads import HEADS
from albert.model.names import FAMILIES
from albert.storage.files import folder_fingerprint
from albert.storage.replacing import snapshot, unchanged

# A classifier of pairs by another name: whether the second text follows the first.
NEXT_SENTENCE = "BertForNextSentencePrediction"


@dataclass(frozen=True)
class ModelFolder:
    """`name` is the user's name for it, `path` has the files, `stored` is the content of its config.json.

    `state` detects whether the files have been replaced since.
    """

    name: str
    path: Path
    stored: dict[str, Any]
    state: tuple[Any, ...]

    @classmethod
    def open(cls, name: str | Path | ModelFolder) -> ModelFolder:
        """Finds the folder of a path, "starter" or a hub id, and reads its config.json. An open folder is returned as
        it is.

        Raises `AlbertError`: bad-model if there is none, bad-config for a config.json that is not a JSON object.
        """
        if isinstance(name, ModelFolder):
            return name
        path = model_folder(name)
        state = snapshot(path)
        return cls(str(name), path, AlbertConfig.stored(path), state)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Raises `AlbertError` (bad-model) when the files were replaced since the folder was opened."""
        with unchanged(self.path, since=self.state):
            yield

    @cached_property
    def config(self) -> AlbertConfig:
        """The network's configuration. Raises `AlbertError` (bad-config)."""
        return AlbertConfig.from_dict(self.stored, source=str(self.path / "config.json"))

    @property
    def architecture(self) -> str:
        """transformers' class for the model; "none" if the folder does not name one."""
        return str((self.stored.get("architectures") or ["none"])[0])

    @property
    def writes(self) -> bool:
        """Whether the network has a decoder, and writes texts."""
        return self.config.decoder is not None

    @cached_property
    def head(self) -> str:
        """The name of its head in `HEADS`. Raises `AlbertError` (bad-model) for an unknown head."""
        if self.writes:
            raise AlbertError(
                ErrorKind.MODEL, f"{self.path}: a network that writes texts", expected="an encoder with a head",
                hint="predict with `albert predict` or `albert generate`",
            )  # fmt: skip
        family = FAMILIES[self.config.model_type]
        heads = {family.architecture(head): head for head in HEADS}
        if family.prefix == "bert":
            heads[NEXT_SENTENCE] = "sequence_classification"
        if self.architecture in heads:
            return heads[self.architecture]
        raise AlbertError(
            ErrorKind.MODEL,
            f"{self.path}: architecture {self.architecture!r} has no head to predict with",
            expected="one of " + ", ".join(heads),
            hint="fine-tune it with `albert train --init`, or load its encoder with AlbertModel.from_pretrained",
        )

    @property
    def pretrained(self) -> bool:
        """Whether it fills masks and is not fine-tuned for a task."""
        return not self.writes and self.head in ("masked_lm", "pretraining")

    @property
    def fingerprint(self) -> str:
        """A value that changes with any of its files."""
        return folder_fingerprint(self.path)
