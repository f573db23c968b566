"""The README's folder of a shop: indexed, searched, asked and summarised as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from conftest import ROOT, Albert

README = (ROOT / "README.md").read_text(encoding="utf-8")
QUESTIONS = {
    "How long may I return shoes?": "returns.md:6",
    "What does express delivery cost?": "shipping.md:5",
    "When does the branch in Konstanz open?": "branches.txt:1",
    "How long does the repair of a lamp take?": "warranty.html:5",
    "What about customs in Switzerland?": "shipping.md:10",
}


def test_the_commands_run(tmp_path: Path, albert: Albert, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(
        r"<!-- executed by tests/documents/test_example.py -->\n```console\n(.*?)```", README, re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    outputs = []
    for line in block.splitlines():
        done = albert(*shlex.split(line.removeprefix("$ albert ")))
        assert done.returncode == 0, (line, done.stderr)
        outputs.append(done.stdout)
    indexed, found, cost, answered, summary = outputs
    assert "documents  8" in indexed
    assert found.startswith("1. shop/policies/returns.md:6  Returns > Shoes")
    assert cost.startswith("9.90 euros")
    assert cost.endswith("shop/policies/shipping.md:5\n")
    assert "link that works for one hour" in answered
    text = (ROOT / "examples/shop/policies/shipping.md").read_text()
    assert summary.strip()
    assert all(sentence in " ".join(text.split()) for sentence in re.split(r"(?<=[.]) ", summary.strip()))


@pytest.mark.parametrize("vectors", [None, "starter"])
def test_questions_find_their_passages(tmp_path: Path, vectors: str | None) -> None:
    import albert

    with albert.Index(tmp_path / "shop.db", vectors=vectors) as kb:
        assert not kb.add(ROOT / "examples" / "shop").problems
        for question, place in QUESTIONS.items():
            assert kb.search(question)[0].place.endswith(place), question


def test_the_packages_reader_answers_or_is_silent(tmp_path: Path) -> None:
    import albert

    reader = albert.load("reader")
    with albert.Index(tmp_path / "shop.db") as kb:
        kb.add(ROOT / "examples" / "shop")
        assert "14 days" in kb.ask("How long may I return shoes?", reader=reader).text
        assert "two weeks" in kb.ask("How long does the repair of a lamp take?", reader=reader).text
        assert not kb.ask("How long do I have to wait for the bus to Vienna?", reader=reader).found
        assert not kb.ask("What does a bicycle cost?", reader=reader).found
