"""The process: loads models, binds an address, handles signals, and loses no accepted request when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvicorn

from albert.errors import AlbertError, ErrorKind, require_ranges
from albert.predict.moderation import SAFE_LABELS
from albert.serve.core.documents import Documents
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.keys import Keys, RateLimit
from albert.serve.core.limits import Limits
from albert.serve.core.logs import flush, log, log_warnings
from albert.serve.core.refusals import Refusal
from albert.serve.core.service import Service
from albert.serve.http.accept import Listener, within_descriptors
from albert.serve.http.addresses import is_loopback
from albert.serve.http.app import create_app
from albert.serve.http.connection import protocol
from albert.serve.http.crowd import Crowd

_BACKLOG = 2048
_LAME = 1.0  # seconds in which a stopping server still answers with 503, so that balancers and clients notice
# Seconds after which a computing thread gets the interpreter from a thread that does not pause. By default it waits
# up to 5 ms between two operations: 376 tokens beside a busy Python thread took 197 ms, and take 57 ms with this.
_SWITCH = 0.0002
_UNREAD = 0.75  # share of the drain after which texts are written no further, and clients that do not read are cut off
_FLUSH = 3  # seconds for the last answers to leave
_LAST_WORDS = 0.2  # seconds for the log when the process ends at once


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """What to serve, where and to whom. `index` is a file of documents to search and ask.

    `rate` is requests per second and key; `burst` is how many may come at once.
    """

    models: tuple[Source, ...]
    host: str = "127.0.0.1"
    port: int = 3000
    key_file: Path | None = None
    rate: float | None = None
    burst: int = 20
    certificate: Path | None = None
    private_key: Path | None = None
    hosts: tuple[str, ...] = ()
    safe_labels: tuple[str, ...] = SAFE_LABELS
    precision: str = "auto"
    workers: int | None = None
    index: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        require_ranges(self, ("port", 0, 65_535), ("burst", 1, 1_000_000))
        if self.rate is not None:
            require_ranges(self, ("rate", 0.001, 1_000_000))
        if self.workers is not None:
            require_ranges(self, ("workers", 1, 1024))
        names = [source.name for source in self.models]
        if len(set(names)) < len(names):
            raise AlbertError(
                ErrorKind.USAGE, "models", expected="each under a name of its own", got=", ".join(names),
                hint="use NAME=FOLDER",
            )  # fmt: skip
        if self.key_file is None and not is_loopback(self.host):
            raise AlbertError(
                ErrorKind.CONFIG, f"--host {self.host}", expected="API keys for an address that others can reach",
                got="no --api-key-file", hint="albert serve-key OWNER >> keys, then --api-key-file keys",
            )  # fmt: skip
        if self.key_file is None and self.rate is not None:
            raise AlbertError(ErrorKind.USAGE, "--rate", expected="--api-key-file with it", got="no keys")
        if (self.certificate is None) != (self.private_key is None):
            raise AlbertError(ErrorKind.USAGE, "TLS", expected="--tls-certificate and --tls-key", got="one of them")
        for path in filter(None, (self.certificate, self.private_key)):
            if not path.is_file():  # a pipe could block, and these files are read more than once
                raise AlbertError(
                    ErrorKind.CONFIG, f"TLS: {path}", expected="a PEM file",
                    got="something else" if path.exists() else "no such file",
                )  # fmt: skip
        if self.certificate is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.private_key)
            except OSError as error:  # SSLError is one
                raise AlbertError(
                    ErrorKind.CONFIG, "TLS", expected="a certificate and its private key as PEM files",
                    got=error.strerror or str(error),
                ) from None  # fmt: skip


def serve(config: ServeConfig) -> None:
    """Serves until SIGTERM or SIGINT, then answers the accepted requests and returns. SIGHUP reloads the models.

    Raises `AlbertError`: bad-model, bad-config (also for an address that is in use), internal when the work under way
    did not end in time.
    """
    log_warnings()
    logging.captureWarnings(True)
    keys = None if config.key_file is None else Keys.read(config.key_file)

    def load(source: Source) -> Hosted:
        return Hosted.load(source, precision=config.precision, safe=config.safe_labels)

    service = Service(
        [load(source) for source in config.models],
        limits=within_descriptors(config.limits),
        keys=keys,
        rate=None if config.rate is None else RateLimit(config.rate, config.burst),
        load=load,
        workers=config.workers,
        documents=None if config.index is None else Documents(config.index),
    )
    hosts = None if keys is not None else frozenset({"localhost", *map(str.lower, config.hosts)})
    sys.setswitchinterval(_SWITCH)
    gc.freeze()  # the million objects of torch and the models never become garbage, so collections skip them
    with _bound(config) as listener:
        tls = {"ssl_certfile": config.certificate, "ssl_keyfile": config.private_key}
        server = _Server(settings(service, hosts=hosts, **tls), service)
        scheme = "http" if config.certificate is None else "https"
        server.address = f"{scheme}://{config.host}:{listener.getsockname()[1]}"
        try:
            server.run(sockets=[listener])
        finally:
            flush()


def settings(service: Service, *, hosts: frozenset[str] | None = None, **tls: Path | None) -> uvicorn.Config:
    """uvicorn's settings with the limits of the service. It trusts no proxy's headers and does not name the server."""
    return uvicorn.Config(
        create_app(service, hosts=hosts),
        http=protocol(Crowd(service.limits)),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=service.limits.keep_alive,  # type: ignore[arg-type]
        timeout_graceful_shutdown=_FLUSH,
        **tls,  # type: ignore[arg-type]
    )


class _Server(Listener):
    """uvicorn's server. On a signal it first lets the service finish."""

    address = ""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self._draining: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        log("info", "listening", address=self.address, models=list(self.service.models), process=os.getpid())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.service.draining or not self.started:  # a second signal, or nothing to finish
            flush(_LAST_WORDS)
            os._exit(128 + sig)
        self.service.draining = True
        self._loop.call_soon_threadsafe(self._drain, signal.Signals(sig).name)

    def _drain(self, name: str) -> None:
        self._draining = self._loop.create_task(self._finish(name))

    async def _finish(self, name: str) -> None:
        service = self.service
        log("info", "stopping", signal=name, under_way=service.under_way)
        begun, drain = self._loop.time(), service.limits.drain
        service.desk.end_by(time.monotonic() + _UNREAD * drain)
        await asyncio.sleep(min(_LAME, drain))
        while service.under_way and (spent := self._loop.time() - begun) < drain:
            if spent > min(drain - _FLUSH - 1, _UNREAD * drain):  # unread answers are not work
                self.crowd.cut_off_unread()
            await asyncio.sleep(0.02)
        left = service.under_way
        log("info" if not left else "error", "stopped", accepted=service.accepted, answered=service.answered, left=left)
        if left:  # a hanging thread would keep the process alive
            flush()
            os._exit(ErrorKind.INTERNAL.exit_code)
        self.should_exit = True

    def _reload(self) -> None:
        async def reload() -> None:
            with contextlib.suppress(Refusal):  # the log has the reason
                await self.service.reload()

        task = self._loop.create_task(reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)


def _bound(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise AlbertError(
            ErrorKind.CONFIG, f"address {config.host}:{config.port}", got=error.strerror or str(error),
            hint="choose another --port or --host",
        ) from None  # fmt: skip
