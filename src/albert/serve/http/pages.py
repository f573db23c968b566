"""The pages for people: `/` from the files in assets/page/, and /docs with the endpoints. They fetch
nothing from elsewhere.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response

PAGE = Path(__file__).parents[2] / "assets" / "page"  # index.html is served at /, the others at /page/NAME
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DOCS_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def add_pages(app: FastAPI, folder: Path = PAGE) -> frozenset[str]:
    """Adds the files of a folder, read now, and /docs. Without an index.html, `/` shows /docs. Returns their paths."""
    schema = app.openapi()
    described = _file(_docs(schema).encode(), _TYPES[".html"], _DOCS_POLICY)
    app.add_api_route("/docs", described, include_in_schema=False)
    app.add_api_route("/openapi.json", _file(json.dumps(schema).encode(), "application/json"), include_in_schema=False)
    paths = {"/", "/docs", "/openapi.json"}
    files = sorted(path for path in folder.glob("*") if path.suffix in _TYPES) if folder.is_dir() else []
    if not any(file.name == "index.html" for file in files):
        app.add_api_route("/", described, include_in_schema=False)
    for file in files:
        path = "/" if file.name == "index.html" else f"/page/{file.name}"
        app.add_api_route(path, _file(file.read_bytes(), _TYPES[file.suffix]), include_in_schema=False)
        paths.add(path)
    return frozenset(paths)


def _file(content: bytes, kind: str, policy: str = POLICY) -> Any:
    async def serve() -> Response:
        return Response(content, headers={"content-type": kind, "content-security-policy": policy})

    return serve


def _docs(schema: dict[str, Any]) -> str:
    """The endpoints with their fields as one page, without scripts and style sheets of its own."""
    parts = ["<!doctype html><html lang=en><meta charset=utf-8><title>albert serve</title><h1>albert serve</h1>",
             "<p>The same for programs: <a href=/openapi.json>/openapi.json</a></p>"]  # fmt: skip
    schemas = schema.get("components", {}).get("schemas", {})
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            parts.append(
                f"<h2>{method.upper()} {html.escape(path)}</h2><p>{html.escape(about.get('description', ''))}</p>"
            )
            body = about.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            fields = schemas.get(body.get("$ref", "").rpartition("/")[2], {})
            if fields:
                rows = "".join(_row(name, field, fields) for name, field in fields["properties"].items())
                parts.append(f"<table border=1><tr><th>field<th>type<th>default<th>about</tr>{rows}</table>")
    return "\n".join([*parts, "</html>"])


def _row(name: str, field: dict[str, Any], fields: dict[str, Any]) -> str:
    kinds = [part.get("type", "object") for part in field.get("anyOf", [field])]
    default = "required" if name in fields.get("required", ()) else json.dumps(field.get("default"))
    cells = (name, " or ".join(kinds), default, field.get("description", ""))
    return "<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in cells) + "</tr>"
