"""One connection: uvicorn's protocol on httptools, with the limits on time, size and number that it lacks."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from albert.serve.core.refusals import Refusal
from albert.serve.http.crowd import Crowd
from albert.serve.http.status import HttpRefusal, body_of, status_of

_FLUSH = 5.0  # seconds for the last bytes to leave when a connection ends
_SLICE = 16_384  # bytes parsed in one go, so that limits are noticed soon
_READ = 32_768  # bytes read in one go, before other connections get their turn
_LOOK = 0.1  # seconds between two checks whether a client that sends no more has left
_REST = 4  # bodies of the largest size that may still arrive after the answer


def protocol(crowd: Crowd) -> type[HttpToolsProtocol]:
    """The class of a server's connections."""

    class Bounded(Connection):
        pass

    Bounded.crowd = crowd
    return Bounded


class Connection(HttpToolsProtocol):
    """Limits the time for headers, bodies and unread answers, and counts every byte that arrives.

    Bytes that are not HTTP end the connection, after the answers to the requests before them.
    """

    crowd: Crowd
    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None
    _ending: asyncio.TimerHandle | None = None
    _active: RequestResponseCycle | None = None  # the request that is being answered
    _reason: Refusal | None = None  # why a callback of the parser failed
    _awaited: str | None = None
    _in_head = True
    _whole = False  # the newest request has arrived in full
    _over = False  # nothing more is read
    _held_back = False  # the next answer waits until the client has taken this one
    _half_closed: asyncio.TimerHandle | None = None  # for a client that sends no more: the next check whether it left
    _replaying = False
    _head = 0  # bytes of URL and headers, then of trailers
    _lines = 0  # lines of headers, then of trailers
    _framing = 0  # bytes of the request outside its body
    _body = 0

    # --- opening and closing -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Sets the socket's options, joins the crowd, and starts the timer for the first request."""
        super().connection_made(transport)
        # asyncio does this only for sockets that know their protocol number. Those of a bound listener do not, and
        # without TCP_NODELAY the body waits 40 ms for the acknowledgement of the headers.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.max_size = _READ  # type: ignore[attr-defined]
        transport.set_write_buffer_limits(high=1)  # 1: every unread byte is reported; 0 would stop TLS for good
        self.limits = self.crowd.limits
        self.crowd.waits(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leaves the crowd, stops the timers, and tells the running requests that their client is gone."""
        self.crowd.left(self)
        for timer in (self._reading, self._writing, self._ending, self._half_closed):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()
        for cycle in (self._active, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def cut_off(self) -> None:
        """Ends the connection at once, whatever is under way."""
        self.transport.abort()

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        return self.transport.get_write_buffer_size()

    def timeout_keep_alive_handler(self) -> None:
        """Ends a connection that was idle for too long."""
        self._end()

    def _end(self) -> None:
        """Closes the connection. Cuts it off if the client does not take the rest of the answer."""
        self._over = True
        if not self.transport.is_closing():
            self.transport.close()
        if self._ending is None:
            self._ending = self.loop.call_later(_FLUSH, self.transport.abort)

    # --- reading -------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parses the bytes in slices."""
        self._unset_keepalive_if_required()
        for start in range(0, len(data), _SLICE):
            if not self._over:
                self._parse(data[start : start + _SLICE])
        self._watch()

    def _parse(self, data: bytes) -> None:
        self._framing += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._reason or HttpRefusal(400, "Validation", "this is no HTTP"))
        else:
            if self._framing > self.limits.header_bytes + self._body:  # chunks of a few bytes cost more than they carry
                self._refuse(self._too_much())

    def _watch(self) -> None:
        """Starts the timer for what the client must send next."""
        awaited = self._due()
        if awaited != self._awaited:
            self._awaited = awaited
            self._rewind()

    def _due(self) -> str | None:
        """What the client must send next: a head, the rest of a body, or another request."""
        if self.transport.is_closing() or self._over:
            return None
        if self._in_head or not self._whole:
            return "head" if self._in_head else "body"
        idle = not (self._answering or self._held_back or self.timeout_keep_alive_task)
        return "request" if idle else None

    def _rewind(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if self._awaited is not None:
            # The guard answers 408 for a late body. After that, only the rest of a refused body can arrive.
            limits = self.limits
            times = {"head": limits.header_timeout, "body": limits.body_timeout + _FLUSH, "request": limits.keep_alive}
            self._reading = self.loop.call_later(times[self._awaited], self._late)

    def _late(self) -> None:
        self._reading = None
        if self.flow.read_paused:  # the server has paused reading
            self._rewind()
        elif self._answering:
            self._finish()
        else:
            self._end()

    @property
    def _answering(self) -> bool:
        return self._active is not None and not self._active.response_complete

    def on_message_begin(self) -> None:
        """A request begins: resets the counters. Refuses more requests than may wait on one connection."""
        if self._replaying:
            return
        if len(self.pipeline) >= self.limits.max_pipelined:
            self._finish()
            raise _Enough
        self._in_head, self._whole = True, False
        self._head = self._lines = self._framing = self._body = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Counts the URL among the bytes of the head."""
        if not self._replaying:
            self._count(url)
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header or trailer, and drops trailers."""
        if self._replaying:
            return
        self._count(name + value)
        self._lines += 1
        if self._lines > self.limits.max_headers:
            self._fail(HttpRefusal(431, "Validation", f"more than {self.limits.max_headers} headers"))
        if self._in_head:  # trailers are dropped: they would override headers
            super().on_header(name, value)

    def _count(self, part: bytes) -> None:
        self._head += len(part)
        if self._head > self.limits.header_bytes:
            self._fail(self._too_much())

    def _too_much(self) -> Refusal:
        return HttpRefusal(431, "Validation", f"headers of more than {self.limits.header_bytes:,} bytes")

    def _fail(self, refusal: Refusal) -> None:
        """Stops the parser and keeps the refusal."""
        self._reason = refusal
        raise _Enough

    def on_headers_complete(self) -> None:
        """The head is complete: checks the host."""
        if self._replaying:
            return
        self._in_head, self._head, self._lines = False, 0, 0
        self._heed_authority()
        super().on_headers_complete()

    def _heed_authority(self) -> None:
        """Keeps one host. The URL's host, if any, takes precedence over the header's (RFC 9112, 3.2.2)."""
        if sum(name == b"host" for name, _ in self.headers) > 1:
            self._fail(HttpRefusal(400, "Validation", "more than one Host header"))
        if self.parser.get_method() == b"CONNECT":
            self._fail(HttpRefusal(400, "Validation", "this server is no proxy"))
        if not self.url.startswith((b"/", b"*")):
            host = httptools.parse_url(self.url).host
            self.headers[:] = [(b"host", host or b""), *(pair for pair in self.headers if pair[0] != b"host")]

    def on_body(self, body: bytes) -> None:
        """Counts a part of a body. Ends a connection whose refused body goes on too long."""
        self._framing -= len(body)
        self._body += len(body)
        if self.cycle.response_complete and self._body > (_REST + 1) * self.limits.max_body:
            self._end()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete: the client now waits for the server."""
        if self.parser.should_upgrade():  # the parser leaves out the body
            return
        self._whole = True
        if not self.cycle.response_complete:
            self.crowd.works(self)
        super().on_message_complete()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Goes on in HTTP/1.1, as a server may (RFC 9110, 7.8). The bytes that follow are the request's body."""
        framing = [pair for pair in self.headers if pair[0] in (b"content-length", b"transfer-encoding")]
        head = b"".join(b"%b: %b\r\n" % pair for pair in framing)
        self.parser = httptools.HttpRequestParser(self)
        self._replaying = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n" + head + b"\r\n")
        self._replaying = False
        self._framing -= len(rest)
        if rest:
            self._parse(rest)

    # --- clients that send no more -------------------------------------------------------------------------

    def eof_received(self) -> bool:  # type: ignore[override]
        """Goes on where whole requests are to be answered, to a client that still reads; True keeps the connection.

        One that has left looks the same until something is sent to it, which it then resets: so it gets an interim
        response, which HTTP/1.1 allows. TLS knows no half-closed connections.
        """
        if self._half_closed is not None:
            return True
        tls = self.transport.get_extra_info("ssl_object") is not None
        if tls or self._over or not self._whole or not (self._answering or self._held_back):
            return False
        self._finish()
        cycle = self._active
        if cycle is not None and not cycle.response_started and cycle.scope["http_version"] != "1.0":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._see_whether_gone()
        return True

    def _see_whether_gone(self) -> None:
        """Again and again, since asyncio does not look at a connection that is at its end."""
        if self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self._half_closed = self.loop.call_later(_LOOK, self._see_whether_gone)

    # --- what ends the reading -------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Stops reading, and closes after the last answer."""
        self._over = True
        self.cycle.keep_alive = False

    def _refuse(self, refusal: Refusal) -> None:
        """Answers the earlier requests, then sends the refusal and closes."""
        if self._over:
            return
        self.crowd.malformed.add()
        newest = self.cycle
        self._over = True
        if newest is None or newest.response_complete:
            self._write(refusal)
            self._end()
        elif self._in_head or not newest.more_body:  # after a complete request
            self._queue(refusal)
        elif self.pipeline:  # within a request that waits
            self.pipeline.popleft()
            self._queue(refusal)
        else:
            newest.disconnected = True
            newest.message_event.set()
            if not newest.response_started:
                self._write(refusal)
            self._end()

    def _write(self, refusal: Refusal) -> None:
        body = body_of(refusal)
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        reason = b"Bad Request" if status_of(refusal) == 400 else b"Request Header Fields Too Large"
        self.transport.write(head % (status_of(refusal), reason, len(body)) + body)

    def _queue(self, refusal: Refusal) -> None:
        async def refuse(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": status_of(refusal), "headers": headers})
            await send({"type": "http.response.body", "body": body_of(refusal)})

        self.cycle = RequestResponseCycle(
            scope={"type": "http", "method": "GET"},  # type: ignore[typeddict-item]
            transport=self.transport, flow=self.flow, logger=self.logger, access_logger=self.access_logger,
            access_log=False, default_headers=self.server_state.default_headers, message_event=asyncio.Event(),
            expect_100_continue=False, keep_alive=False, on_response=self.on_response_complete,
        )  # fmt: skip
        self.pipeline.appendleft((self.cycle, refuse))

    # --- writing ---------------------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Goes on with the next request, once the client has taken this answer."""
        if self.flow.write_paused:  # so that answers that nobody reads do not pile up
            self._held_back = True
            self.flow.pause_reading()
        else:
            self._go_on()

    def _go_on(self) -> None:
        super().on_response_complete()
        if not (self._answering or self.transport.is_closing()):
            self.crowd.waits(self)

    def pause_writing(self) -> None:
        """The client does not read: starts the timer for unread answers."""
        super().pause_writing()
        self._writing = self.loop.call_later(self.limits.write_timeout, self.crowd.unread, self)
        self.crowd.stalls(self)

    def resume_writing(self) -> None:
        """The client reads again: stops the timer, and goes on with a held-back answer."""
        super().resume_writing()
        self.crowd.flows(self)
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        if self._held_back:
            self._held_back = False
            self._go_on()
        elif self._answering and self._whole:
            self.crowd.works(self)


class _Enough(Exception):  # noqa: N818
    """Stops the parser."""
