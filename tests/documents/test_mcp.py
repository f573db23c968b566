"""`albert mcp` answers the protocol's own client over standard input and output."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import albert
from conftest import ROOT

mcp = pytest.importorskip("mcp")


def test_its_client_searches_asks_and_is_told_what_is_wrong(tmp_path: Path) -> None:
    with albert.Index(tmp_path / "shop.db") as kb:
        kb.add(ROOT / "examples" / "shop")

    async def talk() -> dict[str, Any]:
        command = mcp.StdioServerParameters(
            command=sys.executable, args=["-m", "albert", "mcp", str(tmp_path / "shop.db")], env=dict(os.environ)
        )
        async with mcp.Client(command, read_timeout_seconds=60) as client:
            tools = await client.list_tools()
            calls = {
                "search": {"query": 'shoes "NEAR(', "top_k": 2},
                "ask": {"question": "How do I reset my password?"},
                "status": {},
            }
            said = {name: await client.call_tool(name, values) for name, values in calls.items()}
            wrong = await client.call_tool("search", {"query": "shoes", "top_k": 0})
            return {"tools": sorted(tool.name for tool in tools.tools), "wrong": wrong, **said}

    said = asyncio.run(talk())
    assert said["tools"] == ["ask", "search", "status"]
    assert said["search"].structured_content["result"][0]["place"] == "shop/policies/returns.md:6"
    assert "link that works" in said["ask"].structured_content["answer"]
    assert said["status"].structured_content["documents"] == 8
    assert said["wrong"].is_error
    assert "top_k" in said["wrong"].content[0].text
