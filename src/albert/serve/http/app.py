"""The ASGI application: endpoints, pages, errors of one shape, and the guard around them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from albert.serve.core.refusals import Refusal, invalid
from albert.serve.core.service import Service
from albert.serve.http import about, base_url, documents, generation
from albert.serve.http.guard import Guard
from albert.serve.http.pages import add_pages
from albert.serve.http.routes import WORK, router
from albert.serve.http.status import HttpRefusal, body_of, error_type_of, headers_of, status_of
from albert.version import __version__

_FREE = frozenset({"/health", "/live"})  # need no key, because probes have none
_ADMIN = frozenset({"/admin/reload"})
_WORK = WORK | documents.PATHS | generation.PATHS
_KNOWN = _WORK | _FREE | _ADMIN | {"/info", "/metrics", about.PATH}


def create_app(service: Service, *, hosts: frozenset[str] | None = None) -> Guard:
    """The application for a service, which it starts and stops.

    `hosts` are the names that it answers to; None allows any name.
    """

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(title="albert serve", version=__version__, docs_url=None, redoc_url=None, openapi_url=None,
                  lifespan=life)  # fmt: skip
    app.state.service = service
    app.include_router(router)
    app.include_router(documents.router)
    app.include_router(generation.router)
    app.include_router(base_url.router)
    app.include_router(about.router)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    pages = add_pages(app)
    known = _KNOWN | pages
    return Guard(
        app,
        service,
        work=_WORK,
        free=(_FREE | pages).__contains__,
        known=known.__contains__,
        admin=_ADMIN,
        hosts=hosts,
    )


def _response(request: Request, refusal: Refusal) -> Response:
    request.scope["albert.error"] = error_type_of(refusal)
    return Response(body_of(refusal), status_of(refusal), headers_of(refusal), "application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _response(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    """The place and kind of the first mistake, without any part of the request."""
    assert isinstance(error, RequestValidationError)
    first, *others = error.errors()
    place = [str(part) for part in first["loc"] if part != "body"]
    if others and place and all(other["loc"][1:2] == first["loc"][1:2] for other in others):
        return _response(request, invalid(f"{place[0]}: none of the shapes that GET /docs lists"))
    return _response(request, invalid(": ".join([*filter(None, [".".join(place)]), str(first["msg"])])))


async def _failed(request: Request, error: Exception) -> Response:
    """An internal fault. The guard logs where it happened."""
    return _response(request, HttpRefusal(500, "Internal", "internal error"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = "NotFound" if error.status_code == 404 else "Validation"
    response = _response(request, HttpRefusal(error.status_code, kind, str(error.detail)))
    response.headers.update(error.headers or {})
    return response
