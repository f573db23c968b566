"""The checks that every request passes first: id, key, size and time. Also cancels requests whose client leaves."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

import numpy as np
from pydantic_core import from_json

from albert.serve.core.call import Call
from albert.serve.core.limits import Limits
from albert.serve.core.logs import log
from albert.serve.core.refusals import Refusal, invalid, not_found, overloaded, too_large, unavailable
from albert.serve.core.service import Service
from albert.serve.http.addresses import is_loopback, named
from albert.serve.http.status import HttpRefusal, body_of, cost_headers, error_type_of, headers_of, status_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]
CALL, JSON = "albert.call", "albert.json"  # keys that the guard adds to the scope
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LINGER = 4  # bodies of the largest size that are read and dropped, so that the refusal arrives
_STEPS, _PARTS = np.zeros(256, np.int8), np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")], _PARTS[list(b"[{,:")] = 1, -1, 1
# Other servers' paths for the same endpoints: SageMaker's, and text-embeddings-inference's second name.
_ALSO = {("POST", "/invocations"): "/", ("POST", "/embeddings"): "/v1/embeddings", ("GET", "/ping"): "/health"}
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """An ASGI application around another one.

    `work` are the paths of inference. `free` are the paths that need no key. `admin` are those that need an
    administrator's key. All other paths are unknown.
    """

    def __init__(
        self,
        app: Application,
        service: Service,
        *,
        work: frozenset[str],
        free: Callable[[str], bool],
        known: Callable[[str], bool],
        admin: frozenset[str],
        hosts: frozenset[str] | None = None,
    ) -> None:
        self.app = app
        self.service = service
        self.work = work
        self.free = free
        self.known = known
        self.admin = admin
        self.hosts = hosts

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here
        await _Exchange(self, scope, receive, send).run()


class _Exchange:
    """One request and its response."""

    def __init__(self, guard: Guard, scope: Any, receive: Receive, send: Send) -> None:
        self.guard = guard
        self.service = guard.service
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._send = send
        self.status = 0
        self.whole = False  # the last part of the answer is on its way
        self.error_type: str | None = None
        given = self.headers.get(b"x-request-id", b"")
        self.call = Call(
            given.decode() if _ID.fullmatch(given) else secrets.token_hex(16),
            time.monotonic() + self.service.limits.timeout,
        )
        self.path = scope["path"]
        self.working = False
        self.held = 0  # bytes

    async def run(self) -> None:
        self.scope[CALL] = self.call
        try:
            await self._admitted()
        except Refusal as refusal:
            await self._refuse(refusal)
        except Exception as error:  # an internal fault: the log gets the details, the client does not
            log("error", "failed", id=self.call.id, kind=type(error).__name__,
                where=traceback.format_tb(error.__traceback__)[-4:])  # fmt: skip
            if not self.status:
                await self._refuse(HttpRefusal(500, "Internal", "internal error"))
        finally:
            self.service.held -= self.held
            self._tell()

    async def _admitted(self) -> None:
        service = self.service
        if sum(len(name) + len(value) for name, value in self.scope["headers"]) > service.limits.header_bytes:
            raise HttpRefusal(431, "Validation", f"headers of more than {service.limits.header_bytes:,} bytes")
        self._find_model()
        self.working = self.path in self.guard.work and self.scope["method"] == "POST"
        self._authorize()
        if not self.working:
            body = b""
            if self.scope["method"] == "POST":
                body = await self._body()
            await self._answered(body)
            return
        self._require_room()
        body = await self._body()
        self.scope[JSON] = _parsed(body, self.headers.get(b"content-type", b""), service.limits)
        self._require_room()  # the body may have taken a while to arrive, and others were served meanwhile
        self.call.begin(service.limits.timeout)
        service.admission.enter()
        service.accepted += 1
        try:
            await self._answered(body)
        finally:
            seconds = time.monotonic() - self.call.begun
            service.admission.leave(seconds, crowded_out=self.call.crowded_out)

    def _require_room(self) -> None:
        """Raises `Refusal`: 503 while the server stops, 429 when the limit of requests is reached."""
        if self.service.draining:
            raise unavailable("stopping", retry_after=1)
        self.service.admission.check()

    def _find_model(self) -> None:
        """/NAME/predict is /predict with the model NAME. A POST to /NAME is for that model, too."""
        first, _, rest = self.path[1:].partition("/")
        posted = self.scope["method"] == "POST"
        at_its_address = posted and not self.guard.known(self.path)  # a model may have an endpoint's name
        if first in self.service.models and f"/{rest}" in self.guard.work | {"/info"} and (rest or at_its_address):
            self.call.model = first
            self._go_to(f"/{rest}")
        method = "GET" if self.scope["method"] == "HEAD" else self.scope["method"]
        if (method, self.path) in _ALSO:
            self._go_to(_ALSO[method, self.path])

    def _go_to(self, path: str) -> None:
        self.path = path
        self.scope["path"] = path
        self.scope["raw_path"] = path.encode()

    def _authorize(self) -> None:
        """Raises `Refusal`: 404 for unknown paths, 403 for foreign hosts, 401 without a key, 429 above the rate."""
        if not self.guard.known(self.path):
            raise not_found("no such path; GET /docs lists them")
        host = named(self.headers.get(b"host", b""))
        if self.guard.hosts is not None and host not in self.guard.hosts and not is_loopback(host):
            raise HttpRefusal(403, "Forbidden", "this server answers to its own addresses only")
        keys = self.service.keys
        if keys is None:
            if self.path in self.guard.admin:
                raise HttpRefusal(403, "Forbidden", "this needs a key, and the server was started without keys")
            return
        if self.guard.free(self.path) and not self.working:  # the page needs no key, but a POST to its path does
            return
        key = keys.find(self.headers.get(b"authorization", b"").decode("latin-1"))
        if self.path in self.guard.admin and not key.admin:
            raise HttpRefusal(403, "Forbidden", "this needs the key of an administrator")
        if self.service.rate is not None and self.working:
            self.service.rate.take(key.owner)

    async def _body(self) -> bytes:
        """The whole body, counted as it arrives. Raises `Refusal`: 413 when it is too large, 408 when it takes too
        long.
        """
        limits = self.service.limits
        told = self.headers.get(b"content-length", b"0")
        if told.isdigit() and (len(told) > 19 or int(told) > limits.max_body):
            await self._too_large(True)
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(limits.body_timeout):
                while more and len(body) <= limits.max_body:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone()
                    self._hold(message.get("body", b""))
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
        except TimeoutError:
            raise HttpRefusal(408, "Timeout", "the body took too long") from None
        if len(body) > limits.max_body:
            await self._too_large(more)
        return bytes(body)

    def _hold(self, part: bytes) -> None:
        """Counts the bytes of all bodies together. Raises `Refusal` (429) when they are too many."""
        if self.service.held + len(part) > self.service.limits.max_held:
            raise overloaded("too much is being read", retry_after=1)
        self.service.held += len(part)
        self.held += len(part)

    async def _too_large(self, more: bool) -> NoReturn:
        if more:
            await self._linger()
        raise too_large(f"the body has more than {self.service.limits.max_body:,} bytes")

    async def _linger(self) -> None:
        """Reads on for a moment. A connection that is closed with unread data would lose the refusal, too."""
        left = _LINGER * self.service.limits.max_body
        try:
            async with asyncio.timeout(2):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return

    async def _answered(self, body: bytes) -> None:
        """Runs the application. Cancels it when the client leaves, which takes its work out of the queue."""
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return {"type": "http.disconnect"}
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        # HEAD is a GET whose body the server leaves out. The server looks at its own scope for this.
        scope = {**self.scope, "method": "GET"} if self.scope["method"] == "HEAD" else self.scope
        answer = asyncio.ensure_future(self.guard.app(scope, replay, self._outgoing))
        leaving = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait({answer, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() and not self.whole:
                answer.cancel()
                self.status = 0
                raise _Gone()
            await answer
        except asyncio.CancelledError:  # the server stops waiting
            answer.cancel()
            raise
        finally:
            leaving.cancel()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _outgoing(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), (b"x-request-id", self.call.id.encode())]
            present = {name for name, _ in headers}
            headers += [pair for pair in _HEADERS if pair[0] not in present]
            if self.service.draining:
                headers.append((b"connection", b"close"))
            if self.working and self.status == 200:
                headers += [(name.encode(), value.encode()) for name, value in cost_headers(self.call).items()]
            message["headers"] = headers
        elif not message.get("more_body", False):
            self.whole = True
        await self._send(message)

    async def _refuse(self, refusal: Refusal) -> None:
        if isinstance(refusal, _Gone):
            return
        self.error_type = error_type_of(refusal)
        body = body_of(refusal)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.encode(), value.encode()) for name, value in headers_of(refusal).items()]
        if status_of(refusal) == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if status_of(refusal) in (408, 413, 431):  # nothing more is read
            headers.append((b"connection", b"close"))
        await self._outgoing({"type": "http.response.start", "status": status_of(refusal), "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _tell(self) -> None:
        """Writes one line to the log, and the metrics."""
        service, call = self.service, self.call
        seconds = time.monotonic() - call.started
        known = self.path if self.guard.known(self.path) else "unknown"
        if not self.status:
            service.metrics.dropped()
        elif self.working:
            service.answered += self.status == 200
            service.metrics.lasted(seconds)
        service.metrics.answered(known, self.status or 499, call if self.working else None,
                                 self.error_type or self.scope.get("albert.error"))  # fmt: skip
        if self.status == 429:  # refusals may be most of the traffic, so all of them share one line a second
            service.refused()
        elif known not in ("/health", "/live", "/metrics") or self.status != 200:
            log("info", "request", id=call.id, method=self.scope["method"], path=known, model=call.model,
                status=self.status or 499, seconds=round(seconds, 4), inputs=call.inputs, tokens=call.tokens,
                queued=round(call.queued, 4), cut=call.cut)  # fmt: skip


class _Gone(HttpRefusal):
    """The client left, so nobody can get an answer."""

    def __init__(self) -> None:
        super().__init__(499, "Gone", "the client left")


def _parsed(body: bytes, content_type: bytes, limits: Limits) -> Any:
    kind = content_type.partition(b";")[0].strip().lower()
    if kind != b"application/json":  # this also keeps pages of other sites from posting here
        raise HttpRefusal(415, "Validation", "expected Content-Type: application/json")
    if intricate(body, limits.max_depth, limits.max_parts):
        raise invalid(f"JSON nested deeper than {limits.max_depth}, or of more than {limits.max_parts:,} parts")
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        raise invalid("the body is not JSON in UTF-8 (NaN and Infinity are not JSON)") from None


def intricate(body: bytes, depth: int, parts: int) -> bool:
    """Whether JSON is nested deeper than `depth`, or has more than `parts` brackets, commas and colons outside of
    strings.

    Parsing very many of these takes seconds. This check uses no recursion and takes milliseconds per megabyte.
    """
    if sum(map(body.count, (b"[", b"{", b",", b":"))) <= min(depth, parts):
        return False
    plain = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    outside = np.logical_not(np.logical_xor.accumulate(plain == ord('"')))
    steps = _STEPS[plain] * outside
    found = int(_PARTS[plain[outside]].sum(dtype=np.int64))
    return found > parts or bool(np.cumsum(steps, dtype=np.int32).max(initial=0) > depth)
