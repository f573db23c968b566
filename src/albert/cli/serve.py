"""`albert serve` and `albert serve-key`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from albert.cli.documents import existing
from albert.cli.options import Precision
from albert.errors import require_extra


def serve(
    models: Annotated[list[str], typer.Argument(help="Model folders or hub ids; NAME=FOLDER names one.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 is any that is free.")] = 3000,
    host: Annotated[str, typer.Option(help="Address; any but this machine's own needs --api-key-file.")] = "127.0.0.1",
    api_key_file: Annotated[Path | None, typer.Option(help="Hashes of keys, as `albert serve-key` makes.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second for each key.")] = None,
    burst: Annotated[int, typer.Option(min=1, help="How many of them may come at once.")] = 20,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file, for https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its private key.")] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A name that clients may use for a server without keys. Repeatable.")
    ] = None,
    safe_label: Annotated[
        list[str] | None,
        typer.Option(help="A label that flags no text in /v1/moderations; else ok, none, … Repeatable."),
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="Documents that `albert index` put into one file, for /search and /ask.")
    ] = None,
    precision: Precision = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Batches computed at once, which share the cores; else one a core, at most 4.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds within which a request is answered or refused.")] = 30.0,
    drain: Annotated[float, typer.Option(help="Seconds for what is under way after SIGTERM.")] = 30.0,
    max_batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens computed at once.")] = 2048,
    max_concurrent_requests: Annotated[int, typer.Option(min=1, help="Requests under way; more get 429.")] = 512,
    max_inputs: Annotated[int, typer.Option(min=1, help="Texts of a request.")] = 32,
    limit: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER: another limit, as docs/serving.md lists them. Repeatable.")
    ] = None,
) -> None:
    """Serve models over HTTP: text-embeddings-inference's and OpenAI's shapes, answers, entities, summaries."""
    require_serve()
    from albert.predict.moderation import SAFE_LABELS
    from albert.serve.core.hosted import Source
    from albert.serve.core.limits import Limits
    from albert.serve.http.run import ServeConfig
    from albert.serve.http.run import serve as run

    run(
        ServeConfig(
            models=tuple(map(Source.parse, models)),
            host=host,
            port=port,
            key_file=api_key_file,
            rate=rate,
            burst=burst,
            certificate=tls_certificate,
            private_key=tls_key,
            hosts=tuple(allowed_host or ()),
            safe_labels=tuple(safe_label or SAFE_LABELS),
            precision=precision,
            workers=workers,
            index=None if index is None else existing(index),
            limits=Limits.parse(
                limit or (),
                timeout=timeout,
                drain=drain,
                batch_tokens=max_batch_tokens,
                max_requests=max_concurrent_requests,
                max_inputs=max_inputs,
            ),
        )
    )


def serve_key(
    owner: Annotated[str, typer.Argument(help="Who gets the key.")],
    admin: Annotated[bool, typer.Option("--admin", help="The key may also reload the models.")] = False,
) -> None:
    """Make an API key: the key on stderr, on stdout its hash, a line for the key file."""
    require_serve()
    from albert.serve.core.keys import new_key

    text, key = new_key(owner, admin=admin)
    print(f"{text}\nthis is the key, told once; stdout has the line for the key file", file=sys.stderr)
    print(key.line())


def require_serve() -> None:
    """Raises `AlbertError` (bad-config) with a hint where the extra `serve` is not installed."""
    for module in ("fastapi", "uvicorn", "httptools", "prometheus_client"):
        require_extra(module, "serve")
