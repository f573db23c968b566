"""What a model can do, by the names of the endpoints: told by its head and its task."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from albert.errors import AlbertError, ErrorKind
from albert.tasks import Lengths, Task
from albert.tasks.regression import Regression

EVERY = frozenset({"tokenize", "summarize"})
VECTORS = frozenset({"embed", "similarity", "classify"})
WRITES = frozenset({"tokenize", "predict", "generate"})
PRETRAINED = EVERY | VECTORS | {"fill-mask"}
_OF_PIPELINE = {  # transformers' names for families of tasks
    "text-classification": frozenset({"predict", "moderations"}),
    "token-classification": frozenset({"entities"}),
    "question-answering": frozenset({"answer"}),
    "multiple-choice": frozenset({"answer"}),
    "sentence-similarity": VECTORS | {"rerank"},
}
_NEEDED = {
    "generate": "a model that writes texts, as `albert train --task text2text` makes",
    "embed": "a model for similarity or retrieval, or a pre-trained one",
    "rerank": "a model for similarity or retrieval, or one that gives a pair of texts a number",
    "moderations": "a model that gives a text labels",
    "fill-mask": "a pre-trained model",
}


def abilities_of(task: Task, head: str, labels: Collection[str]) -> frozenset[str]:
    """Those of a model with this task and head."""
    if isinstance(task, Regression):
        return EVERY | {"predict", "rerank"}
    one_score = head == "sequence_classification" and len(labels) == 1
    return EVERY | _OF_PIPELINE[task.pipeline] | ({"rerank"} if one_score else set())


def require_ability(abilities: Collection[str], ability: str, task: str) -> None:
    """Raises `AlbertError` (bad-model) for a model, trained for `task`, that cannot do this."""
    if ability not in abilities:
        raise AlbertError(ErrorKind.MODEL, f"task {task}", expected=_NEEDED[ability], got="another")


def require_texts(texts: Sequence[str]) -> None:
    """Raises `AlbertError` (usage) for one text in the place of a list, whose characters would be taken for texts."""
    if isinstance(texts, str):
        raise AlbertError(ErrorKind.USAGE, "texts", expected="a list of texts", got="one text")


def require_length(length: int, limit: int) -> None:
    """Raises `AlbertError` (usage) for a length beyond the model's, or one that no model has."""
    Lengths(max_length=length)
    if length > limit:
        raise AlbertError(ErrorKind.USAGE, f"--max-length {length}", expected=f"at most the model's {limit}")
