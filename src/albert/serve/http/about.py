"""What the page at `/` asks first: the models with their tasks and cards, and the limits of a request."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from albert.errors import AlbertError
from albert.predict.predictor import Predictor
from albert.serve.core.hosted import Hosted
from albert.serve.http.guard import CALL
from albert.serve.http.routes import ERRORS, answer, service_of
from albert.version import __version__

PATH = "/page/models"

router = APIRouter(responses=ERRORS)


class AboutModel(BaseModel):
    """A model as the page shows it."""

    name: str
    task: str
    endpoints: list[str]
    labels: list[str]
    pairs: bool  # trained on pairs of texts
    chooses: bool  # chooses among given answers
    numeric: bool  # its scores are numbers, not probabilities
    limits: list[float] | None  # the probability from which each label is given, if a text may have several
    max_length: int
    card: str  # Markdown, "" without one


class AboutIndex(BaseModel):
    """The documents that are searched and asked."""

    name: str
    files: int
    documents: int
    passages: int
    vectors: str | None


class About(BaseModel):
    """All models and the limits. A request without a model's name gets the first model."""

    version: str
    max_inputs: int
    max_body: int
    models: list[AboutModel]
    index: AboutIndex | None


@router.get(PATH, response_model=About)
async def about(request: Request) -> Response:
    """Every model with its task, labels and card, and the server's limits. The page at / shows this."""
    service = service_of(request)
    return answer(
        {
            "version": __version__,
            "max_inputs": service.limits.max_inputs,
            "max_body": service.limits.max_body,
            "index": await _index(request),
            "models": [_told(model) for model in service.models.values()],
        }
    )


async def _index(request: Request) -> dict[str, Any] | None:
    """What the index holds; None where there is none, or where it cannot be read now."""
    service = service_of(request)
    if service.documents is None:
        return None
    try:
        status = await service.in_thread(request.scope[CALL], service.documents.status)
    except AlbertError:
        return None
    facts = {name: getattr(status, name) for name in ("files", "documents", "passages", "vectors")}
    return {"name": service.documents.name, **facts}


def _told(model: Hosted) -> dict[str, Any]:
    own = model.model if isinstance(model.model, Predictor) else None
    return {
        "name": model.name,
        "task": model.task,
        "endpoints": sorted(model.endpoints()),
        "labels": list(model.config.id2label),
        "pairs": own is not None and own.columns.text_pair is not None,
        "chooses": model.chooses,
        "numeric": "rerank" in model.abilities and not model.embeds,
        "limits": None if own is None else own.limits,
        "max_length": model.max_length,
        "card": model.card,
    }
