"""The links of all Markdown files lead somewhere: the file is there, and so is the heading."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

LINK = re.compile(r"(?<!!)\[[^][]*\]\(([^()\s]+)\)")


def pages() -> list[Path]:
    """The Markdown files of the repository, without those that git ignores."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT, text=True
    )
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def prose(path: Path) -> str:
    """A page without its code, in which `[a](b)` is no link."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("[", "").replace("]", ""), text)


def anchors(path: Path) -> set[str]:
    """The names that GitHub gives to a page's headings: lower case, punctuation dropped, spaces as hyphens."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", prose(path), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        same = sum(1 for number in range(len(names) + 1) if (f"{name}-{number}" if number else name) in names)
        names.add(f"{name}-{same}" if same else name)
    return names


def broken(path: Path) -> Iterator[str]:
    """The links of a page that lead nowhere."""
    for target in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", target):  # another site
            continue
        name, _, anchor = target.partition("#")
        place = path.parent / name if name else path
        if not place.exists() or (anchor and (place.suffix != ".md" or anchor not in anchors(place))):
            yield target


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One & two\n\n```\n# no heading\n```\n\n## Twice\n\n## Twice\n")
    (tmp_path / "a.md").write_text(
        "[x](b.md) [x](b.md#one--two) [x](b.md#twice-1) [`c`](b.md#twice) [x](https://a.b/c) [x](#up)\n"
        "`[code](nowhere)`\n[x](c.md) [x](b.md#no-heading) [x](b.md#three)\n# Up\n"
    )
    assert list(broken(tmp_path / "a.md")) == ["c.md", "b.md#no-heading", "b.md#three"]
