"""The shapes of requests to models that write, and of their answers."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from pydantic import BaseModel, Field

from albert.errors import AlbertError
from albert.generation.options import MAX_BEAM, GenerationOptions
from albert.serve.core.refusals import invalid
from albert.serve.http import schemas as shape


class GenerateRequest(shape.BaseRequest):
    """Texts for /generate, and how to answer them; the options are those of the Python API."""

    inputs: shape.Texts
    stream: bool = Field(False, description="Server-sent events while the texts are written.")
    truncate: shape.Truncate = None
    top_k: int = Field(1, ge=1, le=MAX_BEAM, description="Texts for each input, at most the beam unless drawn.")
    beam: int = Field(1, ge=1, le=MAX_BEAM, description="Hypotheses followed at a time; 1 writes greedily.")
    length_penalty: float = Field(1.0, ge=-10, le=10, description="Above 0 favours longer texts.")
    early_stop: bool = Field(True, description="False: search on until no other text can win.")
    sample: bool = Field(False, description="Draw pieces at random.")
    temperature: float = Field(1.0, ge=0.01, le=100, description="Below 1 sharpens the draws.")
    sampling_top_k: int = Field(0, ge=0, le=1_000_000, description="Draw among this many most likely pieces; 0: all.")
    top_p: float = Field(1.0, gt=0, le=1, description="Draw among the fewest pieces with this probability.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of the draws.")
    no_repeat_ngram: int = Field(
        0, ge=0, le=65_536, description="No run of this many pieces comes twice; 0: no such rule."
    )
    repetition_penalty: float = Field(
        1.0, ge=0.1, le=10, description="Above 1, pieces that were written before become less likely."
    )
    prefix: str = Field("", max_length=1000, description="How every text begins.")
    words: list[Annotated[str, Field(max_length=1000)]] = Field(
        [], max_length=MAX_BEAM, description="Words that every text contains, in any order."
    )
    min_length: int = Field(1, ge=0, le=65_536, description="Length of the shortest text, in pieces.")
    max_length: int = Field(256, ge=1, le=65_536, description="Length of the longest text, in pieces.")
    token_scores: bool = Field(False, description="Also the log-probability of each piece.")
    alignments: bool = Field(False, description="Also the parts of the source behind each piece.")

    def generation(self) -> GenerationOptions:
        """The options as they are used. Raises `Refusal` (invalid) for values at odds with each other."""
        names = {field.name for field in dataclasses.fields(GenerationOptions)}
        try:
            return GenerationOptions(**self.model_dump(include=names))
        except AlbertError as error:
            raise invalid(f"{error.what}: expected {error.expected}") from None


class TranslateRequest(GenerateRequest):
    """Texts for /translate: as /generate, with a beam of 4."""

    beam: int = Field(4, ge=1, le=MAX_BEAM, description="Hypotheses followed at a time; 1 writes greedily.")


class TokenScore(BaseModel):
    """A piece of a text that was written, and its log-probability."""

    token: str
    logprob: float


class Source(BaseModel):
    """Characters of the source, and their share of the attention."""

    start: int
    end: int
    weight: float


class Alignment(BaseModel):
    """A piece of a text that was written, and what it was written from; the most important part first."""

    token: str
    sources: list[Source]


class WrittenText(BaseModel):
    """A text that was written, with its log-probability by its length. `cut`: it reached the limit on length."""

    text: str
    score: float
    cut: bool | None = None
    tokens: list[TokenScore] | None = None
    alignments: list[Alignment] | None = None


Said = shape.Prediction | WrittenText  # what /predict gives
