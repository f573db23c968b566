"""An index of documents as tools of the Model Context Protocol, for programs that look things up for a person."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

from albert.documents.index import Index
from albert.errors import AlbertError, require_extra
from albert.predict.predictor import Predictor
from albert.version import __version__

_INSTRUCTIONS = (
    "Looks things up in a person's own documents. `search` finds passages with their place, `ask` gives an answer that "
    "stands in a document or says that there is none, `status` tells what is indexed. Name the place with what you say."
)


def serve(kb: Index, reader: Predictor | None) -> None:
    """Answers a client on standard input and output until it leaves."""
    tools_of(kb, reader).run("stdio")


def tools_of(kb: Index, reader: Predictor | None) -> Any:
    """The server with its tools. Raises `AlbertError` (usage) where the package mcp is not installed."""
    made = require_extra("mcp.server", "mcp").MCPServer
    server = made("albert", version=__version__, instructions=_INSTRUCTIONS, log_level="WARNING")
    turn = threading.Lock()  # tools run in threads, and the index answers one at a time

    def told(work: Any, *values: Any, **options: Any) -> Any:
        with turn:
            try:
                return work(*values, **options)
            except AlbertError as error:
                raise require_extra("mcp.server.mcpserver.exceptions", "mcp").ToolError(str(error)) from None

    @server.tool()
    def search(query: str, top_k: int = 5, path: str | None = None) -> list[dict[str, Any]]:
        """Passages that answer a query best. `path` keeps files that match a pattern, like "policies/*"."""
        hits = told(kb.search, query, top_k=top_k, path=path)
        return [{"place": hit.place, "heading": hit.heading, "text": hit.text, "answer": hit.answer} for hit in hits]

    @server.tool()
    def ask(question: str, path: str | None = None) -> dict[str, Any]:
        """The answer to a question as it stands in a document, with its place and score; null where there is none."""
        answer = told(kb.ask, question, reader=reader, path=path)
        place = answer.hit.place if answer.hit is not None else None
        return {"answer": answer.text or None, "score": answer.score, "place": place,
                "passage": answer.hit.text if answer.hit is not None else None}  # fmt: skip

    @server.tool()
    def status() -> dict[str, Any]:
        """How many files, documents and passages the index holds, and which files could not be read."""
        return dataclasses.asdict(told(kb.status))

    return server
