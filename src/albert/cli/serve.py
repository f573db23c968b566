"""`albert serve` and `albert serve-key`."""

from __future__ import annotations

import sys

from albert.errors import require_extra


def require_serve() -> None:
    """Raises `AlbertError` (bad-config) with a hint where the extra `serve` is not installed."""
    for module in ("fastapi", "uvicorn", "httptools", "prometheus_client"):
        require_extra(module, "serve")


def print_key(owner: str, *, admin: bool) -> None:
    """The key on stderr, for its owner alone; on stdout the line for the key file."""
    require_serve()
    from albert.serve.core.keys import new_key

    text, key = new_key(owner, admin=admin)
    print(f"{text}\nthis is the key, told once; stdout has the line for the key file", file=sys.stderr)
    print(key.line())
