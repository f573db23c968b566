"""`/generate` and `/translate`: texts by models that write, at once or as server-sent events while they are written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import from_json, to_json

from albert.data.examples import Example
from albert.predict.draft import Draft
from albert.serve.core.call import Call
from albert.serve.core.hosted import HostedWriter
from albert.serve.core.refusals import Refusal
from albert.serve.core.service import Service
from albert.serve.http.routes import ERRORS, ReadRoute, answer, listed, model_for
from albert.serve.http.status import body_of, error_type_of
from albert.serve.http.texts import GenerateRequest, TranslateRequest, WrittenText
from albert.tasks import DecodeOptions

PATHS = frozenset({"/generate", "/translate"})
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The texts, or with `stream` the events `piece`, `text`, `answer` and `error`.",
          "content": {"text/event-stream": {"schema": {"type": "string"}}}},
}  # fmt: skip
router = APIRouter(route_class=ReadRoute, responses={**ERRORS, **_EVENTS})


@router.post("/generate", response_model=list[WrittenText] | list[list[WrittenText]])
async def generate(body: GenerateRequest, request: Request) -> Response:
    """The texts for a text, the best first. A list of texts gets a list for each text.

    With `stream`, an event `piece` has what text `index` goes on with. Of a beam, or of several draws, an event `text`
    has each text as it ends. The last event is `answer`, with the whole answer, or `error`.
    """
    return await _generated(body, request)


@router.post("/translate", response_model=list[WrittenText] | list[list[WrittenText]])
async def translate(body: TranslateRequest, request: Request) -> Response:
    """The same as /generate with a beam of 4."""
    return await _generated(body, request)


async def _generated(body: GenerateRequest, request: Request) -> Response:
    if not body.stream:
        return answer(await texts(body, request))
    work = await _Work.begin(body, request)
    return _Stream(_events(work, request.scope))


async def texts(body: GenerateRequest, request: Request) -> Any:
    """The texts for a text, or a list of them for each of a list."""
    work = await _Work.begin(body, request)
    await work.write()
    return await work.answer()


@dataclass(frozen=True)
class _Work:
    """A request of texts, encoded and within the limits."""

    body: GenerateRequest
    service: Service
    call: Call
    model: HostedWriter
    examples: list[Example]
    options: DecodeOptions
    draft: Draft

    @classmethod
    async def begin(cls, body: GenerateRequest, request: Request) -> _Work:
        """Raises `Refusal` for what cannot be written."""
        service, call, model = model_for(request, body.model, "generate")
        assert isinstance(model, HostedWriter)
        generation = body.generation()
        examples = [Example(text) for text in listed(body.inputs)]
        draft = await service.draft(call, model, examples, options=generation, count=body.top_k, truncate=body.truncate)
        options = DecodeOptions(top_k=body.top_k, generation=generation)
        return cls(body, service, call, model, examples, options, draft)

    async def write(self, told: Callable[[], None] = lambda: None) -> None:
        """Writes to the end. Raises `Refusal`."""
        await self.service.desk.write(self.model, self.draft, self.call, told)

    async def answer(self) -> Any:
        """All that is written."""
        outputs = self.draft.outputs(self.examples)
        found = await self.service.text(self.call, self.model.decode, outputs, self.options)
        return found[0] if isinstance(self.body.inputs, str) else found


class _News:
    """What a client has not been told of a draft. A client that reads slowly gets more at a time."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.some = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._texts = [""] * len(draft.features)
        self._told = list(self._texts)
        self._ended = 0  # hypotheses of which the client knows

    def look(self) -> None:
        """Takes note of what is written now, in the thread that writes."""
        if self.draft.grows:
            self._texts = self.draft.texts()
        self._loop.call_soon_threadsafe(self.some.set)

    def end(self, work: asyncio.Future[None]) -> None:
        """Takes note of the end. An error is looked at, since a client that left may never ask for it."""
        if not work.cancelled():
            work.exception()
        self.some.set()

    def events(self) -> Iterator[bytes]:
        """How texts go on; where they do not grow, the texts that ended."""
        for index, (text, told) in enumerate(zip(self._texts, self._told, strict=True)):
            if len(text) > len(told):
                self._told[index] = text
                yield _event("piece", {"index": index, "text": text[len(told) :]})
        ended = [] if self.draft.grows else self.draft.ended[self._ended :]
        self._ended += len(ended)
        for index, found in ended:
            yield _event("text", {"index": index, "text": self.draft.said(found).text, "score": found.score})


async def _events(work: _Work, scope: Any) -> AsyncIterator[bytes]:
    """What is new while it is written, then the whole answer or an error. Writing ends with whoever reads this.

    Raises `Refusal` where nothing is written yet.
    """
    news = _News(work.draft)
    writing = asyncio.ensure_future(work.write(news.look))
    writing.add_done_callback(news.end)
    begun = False
    try:
        while not writing.done():
            await news.some.wait()
            news.some.clear()
            for event in news.events():
                begun = True
                yield event
        await writing
        whole = _event("answer", await work.answer())
        for event in news.events():
            yield event
        yield whole
    except Refusal as refusal:
        if not begun:
            raise
        scope["albert.error"] = error_type_of(refusal)
        yield _event("error", from_json(body_of(refusal)))
    finally:
        writing.cancel()


def _event(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), to_json(data))


class _Stream(Response):
    """Events as they come. A refusal before the first one is a response with its own status."""

    def __init__(self, events: AsyncIterator[bytes]) -> None:
        super().__init__(media_type="text/event-stream", headers={"x-accel-buffering": "no"})  # nginx passes them on
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with contextlib.aclosing(self._events) as events:  # type: ignore[type-var]
            first = await anext(events)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body"})
