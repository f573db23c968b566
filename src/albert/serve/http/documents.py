"""`/search` and `/ask`: passages of the documents, and answers that stand in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response

from albert.data.examples import Example
from albert.documents import Answer, Hit
from albert.documents.answers import KEPT, chosen, pairs
from albert.documents.rerank import DEPTH, read_again, reordered, require_reranker
from albert.errors import AlbertError
from albert.predict.predictor import Predictor
from albert.serve.core.call import Call
from albert.serve.core.documents import Documents
from albert.serve.core.hosted import Hosted
from albert.serve.core.refusals import not_found, unavailable, unsupported
from albert.serve.core.service import Service
from albert.serve.http import schemas as shape
from albert.serve.http.guard import CALL
from albert.serve.http.routes import ERRORS, ReadRoute, answer, model_of, service_of
from albert.tasks import DecodeOptions

PATHS = frozenset({"/search", "/ask"})
router = APIRouter(route_class=ReadRoute, responses=ERRORS)
Result = TypeVar("Result")


@router.post("/search", response_model=list[shape.Passage])
async def search(body: shape.SearchRequest, request: Request) -> Response:
    """The passages of the documents that answer a query best, with their places."""
    service, documents = _documents(request)
    hits = await _hits(request, service, documents, body, body.query, body.top_k)
    return answer([told(hit) for hit in hits])


@router.post("/ask", response_model=shape.DocumentAnswer)
async def ask(body: shape.AskRequest, request: Request) -> Response:
    """The answer as it stands in a document, with its place; `answer` is null where the documents do not say it.

    `start` and `end` count characters of the passage's text. Without a model that answers questions, FAQs alone do.
    """
    service, documents = _documents(request)
    call: Call = request.scope[CALL]
    reader = _reader(request, service, body.model)
    top_k = min(body.top_k, service.limits.max_inputs)
    hits = await _hits(request, service, documents, body, body.question, top_k)
    examples = [] if reader is None else [Example(question, text) for question, text in pairs(body.question, hits)]
    said: list[Any] = []
    if reader is not None and examples:
        outputs = await service.outputs(call, reader, examples)
        said = await service.text(call, reader.decode, outputs, DecodeOptions(top_k=KEPT, no_answer=True))
    return answer(_told(chosen(body.question, hits, said, threshold=body.threshold)))


def told(hit: Hit) -> dict[str, Any]:
    """A passage as JSON."""
    return {**dataclasses.asdict(hit), "place": hit.place}


def _told(found: Answer) -> dict[str, Any]:
    inside = found.hit is not None and found.found and found.hit.answer is None
    first = found.hit.start if found.hit is not None else 0
    return {
        "answer": found.text or None,
        "score": found.score,
        "start": found.start - first if inside else None,
        "end": found.end - first if inside else None,
        "passage": None if found.hit is None else told(found.hit),
        "others": [told(hit) for hit in found.others],
    }


def _documents(request: Request) -> tuple[Service, Documents]:
    """Raises `Refusal` (404) where no index is served."""
    service = service_of(request)
    if service.documents is None:
        raise not_found("no documents are served here: albert serve MODEL --index kb.db")
    return service, service.documents


def _reader(request: Request, service: Service, name: str | None) -> Hosted | None:
    """The named model, else the first that finds answers in a text. Raises `Refusal`: 404, 424 for another kind."""
    able = [model for model in service.models.values() if "answer" in model.abilities and not model.chooses]
    if name is None:
        return able[0] if able else None
    model = model_of(request, name)
    if model not in able:
        model.require("answer")
        raise unsupported(f"model {model.name} chooses among answers, /ask needs one that finds them")
    return model


async def _hits(
    request: Request, service: Service, documents: Documents, body: shape.SearchRequest | shape.AskRequest,
    query: str, top_k: int,
) -> list[Hit]:  # fmt: skip
    """The passages, in the order of both ranks where a model reads them again. Raises `Refusal`: 404, 424 for it."""
    call: Call = request.scope[CALL]
    if body.rerank is None:
        return await _done(service, call, documents.search, query, top_k, body.filter)
    second = service.model(body.rerank)
    if not isinstance(second.model, Predictor):
        raise unsupported(f"rerank: model {second.name} is not one of pairs")
    try:
        require_reranker(second.model)
    except AlbertError as error:
        raise unsupported(f"rerank: expected {error.expected}") from None
    hits = await _done(service, call, documents.search, query, max(top_k, DEPTH), body.filter)
    outputs = await service.outputs(call, second, read_again(query, hits)) if hits else []
    return reordered(hits, outputs, second.model)[:top_k]


async def _done(service: Service, call: Call, work: Callable[..., Result], *values: Any) -> Result:
    """Work with the index, in a thread. Raises `Refusal` (503) where its file is damaged or gone."""
    call.characters += len(values[0])
    try:
        return await service.in_thread(call, work, *values)
    except AlbertError as error:
        raise unavailable(f"the index of documents cannot be read: {error.kind.code}") from None
