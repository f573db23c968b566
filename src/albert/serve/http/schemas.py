"""The shapes of requests and answers: those of text-embeddings-inference, of OpenAI, and our own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from albert.tasks.metrics import sigmoid, softmax

# Validation of a list ends at its first mistake. Otherwise pydantic takes 10 seconds to list all of a 2 MB body.
Strings = Annotated[list[str], Field(fail_fast=True)]
Texts = Annotated[str | Strings, Field(description="A text, or a list of texts.", examples=["what is it?"])]
Sequence = Annotated[
    list[str], Field(fail_fast=True, min_length=1, max_length=2, description="[text] or [text, second text]")
]
PredictInputs = Annotated[
    str | Sequence | Annotated[list[Sequence], Field(fail_fast=True, min_length=1)],
    Field(
        description='A text; a flat list of two is ONE pair; a batch is a list of lists, [["a"], ["b", "c"]].',
        examples=["great film"],
    ),
]
Truncate = Annotated[
    bool | None, Field(description="Texts beyond the model's length: cut (true, default) or refused with 413 (false).")
]
Direction = Annotated[
    Literal["Right", "right"] | None, Field(description="Texts beyond the model's length lose their end.")
]
Dimensions = Annotated[
    int | None, Field(ge=1, le=65_536, description="How many numbers a vector keeps, before it gets length 1.")
]
TopK = Annotated[int, Field(ge=1, le=100)]


Question = Annotated[str, Field(min_length=1, max_length=10_000, description="Words or a question.")]
Filter = Annotated[
    str | None, Field(max_length=1000, description="Only files whose name matches this pattern, such as policies/*.")
]


Rerank = Annotated[
    str | None, Field(description="One of the served models, which reads the first 20 passages with the query.")
]


class BaseRequest(BaseModel):
    """What every request has. Unknown fields are ignored, because clients of other servers send some."""

    model_config = ConfigDict(strict=True)
    model: str | None = Field(None, description="One of the served models; the first if left out.")


class EmbedRequest(BaseRequest):
    """Texts for /embed."""

    inputs: Texts
    normalize: bool = True
    truncate: Truncate = None
    truncation_direction: Direction = None
    dimensions: Dimensions = None
    prompt_name: None = Field(None, description="None: models here have no prompts.")
    encoding_format: Literal["float"] | None = None


class PredictRequest(BaseRequest):
    """A text, a pair or a batch for /predict."""

    inputs: PredictInputs
    raw_scores: bool = Field(False, description="Logits instead of probabilities.")
    truncate: Truncate = None
    truncation_direction: Direction = None


class RerankRequest(BaseRequest):
    """A query and the texts to sort by it."""

    query: str
    texts: Strings
    raw_scores: bool = Field(False, description="For a cross-encoder: its number instead of its sigmoid.")
    return_text: bool = False
    truncate: Truncate = None
    truncation_direction: Direction = None


class SimilarityInputs(BaseModel):
    """A sentence and those to compare with it."""

    model_config = ConfigDict(strict=True)
    source_sentence: str
    sentences: Strings


class SimilarityRequest(BaseRequest):
    """Sentences for /similarity."""

    inputs: SimilarityInputs
    truncate: Truncate = None
    truncation_direction: Direction = None


class ClassifyRequest(BaseRequest):
    """Texts and labels for /classify."""

    inputs: Texts
    labels: Strings | dict[str, str] = Field(
        description="At least two names, or names with descriptions.", examples=[["billing", "delivery"]]
    )
    truncate: Truncate = None
    truncation_direction: Direction = None


class TokenizeRequest(BaseRequest):
    """Texts for /tokenize."""

    inputs: Texts
    add_special_tokens: bool = True


class EmbeddingsRequest(BaseRequest):
    """Texts in OpenAI's shape for /v1/embeddings."""

    input: Texts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Dimensions = None


class ModerationsRequest(BaseRequest):
    """Texts in OpenAI's shape for /v1/moderations."""

    input: Texts


class AnswerRequest(BaseRequest):
    """A question with its context, and answers to choose from where the model chooses."""

    question: str
    context: str
    choices: Strings | None = Field(None, description="For models that choose among answers.")
    top_k: TopK = 1
    max_answer: int = Field(30, ge=1, le=512, description="Pieces of the longest answer.")
    handle_impossible_answer: bool | None = Field(
        None, description='Whether "" may be an answer; as trained if left out.'
    )


class EntitiesRequest(BaseRequest):
    """Texts for /entities."""

    inputs: Texts
    aggregation: Literal["none", "simple", "first", "average", "max"] = "first"
    truncate: Truncate = None


class FillMaskRequest(BaseRequest):
    """Texts with [MASK]."""

    inputs: Annotated[str | Strings, Field(description="Each with a [MASK].", examples=["a cup of [MASK]"])]
    top_k: TopK = 5
    steps: int = Field(
        0, ge=0, le=100, description="All masks of a text filled together, in up to so many steps; 0: each by itself."
    )


class SummarizeRequest(BaseRequest):
    """A text, and how many of its sentences to keep."""

    inputs: str
    sentences: int = Field(3, ge=1, le=100)
    share: float | None = Field(
        None, ge=0, le=1, description="The share of the sentences to keep, in place of a number."
    )
    focus: str = Field("", max_length=1000, description="Words that the summary is to be about.")


class SearchRequest(BaseRequest):
    """A search: the words, how many passages, and which paths."""

    query: Question
    top_k: TopK = 10
    filter: Filter = None
    rerank: Rerank = None


class AskRequest(BaseRequest):
    """A question about the documents."""

    question: Question
    threshold: float = Field(0.5, ge=0, le=1, description="Only an answer whose score is above this is given.")
    top_k: TopK = Field(10, description="Passages that are read, at most as many as inputs are allowed.")
    filter: Filter = None
    rerank: Rerank = None


class AnyRequest(BaseRequest):
    """A request to the server's base URL: the fields of any other endpoint."""

    model_config = ConfigDict(strict=True, extra="allow")
    inputs: Any = Field(None, description="The inputs of the other endpoint.", examples=["great film"])
    query: str | None = Field(None, description="With `texts`: a request of /rerank.")
    parameters: dict[str, Any] | None = Field(None, description="Options as Hugging Face's InferenceClient sends them.")


class LabelOptions(BaseModel):
    """The options for labels of Hugging Face's clients. The functions apply to logits."""

    model_config = ConfigDict(strict=True)
    top_k: int | None = Field(None, ge=1, le=10_000)
    function: Literal["sigmoid", "softmax", "none"] | None = None

    def applied(self, row: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The labels with the chosen function of their logits; unchanged if none is chosen."""
        if self.function in (None, "none"):
            return row
        function = sigmoid if self.function == "sigmoid" else softmax
        scores = function(np.asarray([each["score"] for each in row])).tolist()
        return [{**each, "score": score} for each, score in zip(row, scores, strict=True)]


class NamedLabels(BaseModel):
    """The labels of Hugging Face's clients; {} in the template stands for the name of one."""

    model_config = ConfigDict(strict=True)
    candidate_labels: Strings
    hypothesis_template: str = Field("{}", pattern=r"\{\}")
    multi_label: bool = False

    @property
    def labels(self) -> list[str] | dict[str, str]:
        """As /classify takes them."""
        if self.hypothesis_template == "{}":
            return self.candidate_labels
        return {name: self.hypothesis_template.replace("{}", name) for name in self.candidate_labels}


class Prediction(BaseModel):
    """A label with its score."""

    score: float
    label: str


class Rank(BaseModel):
    """A text's position in the request, with its score."""

    index: int
    score: float
    text: str | None = None


class Token(BaseModel):
    """A piece with its id and the characters that it came from."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Embedding(BaseModel):
    """A vector in OpenAI's shape: a list of numbers, or base64 of float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """How many pieces a request had."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """The answer of /v1/embeddings in OpenAI's shape."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Moderation(BaseModel):
    """Whether a text is flagged, and the score of each label."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]


class Moderations(BaseModel):
    """The answer of /v1/moderations in OpenAI's shape."""

    id: str
    model: str
    results: list[Moderation]


class Answer(BaseModel):
    """A part of the context, or one of the choices."""

    score: float
    start: int | None = None
    end: int | None = None
    answer: str | None = None
    choice: str | None = None
    index: int | None = None


class Passage(BaseModel):
    """A part of a document, and the rank that each way of searching gave it."""

    passage: int
    path: str
    title: str
    heading: str
    text: str
    start: int
    end: int
    line: int
    page: int | None
    score: float
    words: int | None
    vectors: int | None
    reranked: int | None
    answer: str | None
    bm25: float | None
    place: str


class DocumentAnswer(BaseModel):
    """An answer with its place, or none with the nearest passages; `start` and `end` are characters of the passage."""

    answer: str | None
    score: float
    start: int | None
    end: int | None
    passage: Passage | None
    others: list[Passage]


class Entity(BaseModel):
    """A name in a text, its type, and its place in characters."""

    entity_group: str | None = None
    entity: str | None = None
    score: float
    word: str
    start: int
    end: int


class Filled(BaseModel):
    """A piece for a [MASK], and the text with it in place."""

    score: float
    token: int
    token_str: str
    sequence: str


class FilledPiece(BaseModel):
    """A piece in the place of a [MASK], and its probability."""

    token: int
    token_str: str
    score: float


class FilledText(BaseModel):
    """A text whose masks were filled together; `score` is the geometric mean of its pieces' probabilities."""

    sequence: str
    score: float
    tokens: list[FilledPiece]


class SummarySentence(BaseModel):
    """A sentence of the text, its place in characters, and its score."""

    text: str
    start: int
    end: int
    score: float


class Summary(BaseModel):
    """The chosen sentences, together and one by one."""

    summary: str
    sentences: list[SummarySentence]


class Info(BaseModel):
    """The keys of text-embeddings-inference. `task`, `endpoints`, `labels` and `models` are our own."""

    model_config = ConfigDict(protected_namespaces=())
    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: dict[str, Any]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None
    task: str
    endpoints: list[str]
    labels: list[str]
    models: list[str]


class Error(BaseModel):
    """A refusal: one sentence, and its kind for programs."""

    error: str
    error_type: str
