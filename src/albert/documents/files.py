"""Which files an index reads, and what they hold: text, Markdown, HTML, PDF, Word, tables, JSON lines and SQuAD."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from albert.data.documents import document_rows, is_document
from albert.data.folders import walk
from albert.data.sources import suffix_of
from albert.data.tables import Table
from albert.documents.extracted import Extracted, Heading
from albert.errors import AlbertError, ErrorKind, require_extra

_LARGEST = 256 << 20  # bytes of a file
_MARKDOWN = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$|^([^\n#>|`-][^\n]*)\n(=+|-{3,})[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_TITLE = "title", "name", "subject", "heading"
_TEXTS = "text", "body", "content", "context", "abstract", "description"
_QUESTION, _ANSWER = "question", "answer"
_INLINE_NAMES = """
a abbr b bdi bdo big cite code data del dfn em font i ins kbd label mark q s samp small span strike strong sub sup time
tt u var wbr
"""
_INLINE = frozenset(_INLINE_NAMES.split())  # elements within a line
_UNREAD = "script,style,noscript,template,nav,footer,svg,title"
_AS_WRITTEN = "pre", "textarea"  # white space and all
_DEEPEST = 64  # elements within each other that are looked at


def files_below(path: Path) -> Iterator[Path]:
    """The readable files of a folder in sorted order, or the file itself.

    Hidden files and folders and links that lead out of the folder are left out.
    Raises `AlbertError` (bad-data) for what is not there.
    """
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise AlbertError(ErrorKind.DATA, str(path), expected="a file or folder of documents", got="none")
    root = path.resolve()
    for place, folders, names in walk(path, links=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = place / name
            if not name.startswith(".") and reader_of(file) and file.is_file() and file.resolve().is_relative_to(root):
                yield file


def reader_of(path: Path) -> Callable[[Path], Iterator[Extracted]] | None:
    """What reads a file of this name; None for other kinds."""
    return _READERS.get(suffix_of(path).lower())


def extract(path: Path) -> Iterator[Extracted]:
    """The documents of a file: most hold one, tables and lines of JSON one a row.

    Raises `AlbertError` (bad-data) for a file that is damaged, too large or of another kind.
    """
    reader = reader_of(path)
    if reader is None:
        raise AlbertError(ErrorKind.DATA, str(path), expected=f"one of {', '.join(_READERS)}", got="another kind")
    try:
        if not path.is_file():
            raise FileNotFoundError(2, "a folder" if path.is_dir() else "no such file")
        if (size := path.stat().st_size) > _LARGEST:
            raise OSError(27, f"{size >> 20} MiB, more than {_LARGEST >> 20}")
        yield from reader(path)
    except OSError as error:
        got = error.strerror or str(error)
        raise AlbertError(ErrorKind.DATA, str(path), expected="a readable file", got=got) from None


# --- text ------------------------------------------------------------------------------------------------


def _text(path: Path) -> Iterator[Extracted]:
    yield Extracted(_decoded(path), title=path.stem)


def _markdown(path: Path) -> Iterator[Extracted]:
    text = _decoded(path)
    code = [match.span() for match in _FENCE.finditer(text)]
    headings = tuple(
        Heading(match.start(), len(match[1]) if match[1] else 1 + (match[4][0] == "-"), match[2] or match[3].strip())
        for match in _MARKDOWN.finditer(text)
        if not any(start <= match.start() < end for start, end in code)
    )
    yield Extracted(text, title=headings[0].title if headings else path.stem, headings=headings)


def _decoded(path: Path) -> str:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise AlbertError(
            ErrorKind.DATA, f"{path}: byte {error.start + 1}", expected="UTF-8 text", got="other bytes",
            hint="save it as UTF-8",
        ) from None  # fmt: skip
    if "\0" in text:
        raise AlbertError(ErrorKind.DATA, str(path), expected="text", got="binary data")
    return text.replace("\r\n", "\n").replace("\r", "\n")


# --- pages and blocks ------------------------------------------------------------------------------------


class _Joined:
    """Blocks of text put one after the other, with the places of headings and pages."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.length = 0
        self.headings: list[Heading] = []
        self.pages: list[int] = []

    def add(self, text: str, level: int = 0) -> None:
        """Adds a block; with a level it is a heading."""
        text = text.strip()
        if not text:
            return
        if level:
            self.headings.append(Heading(self.length, level, " ".join(text.split())))
        self.parts.append(text + "\n\n")
        self.length += len(text) + 2

    def new_page(self) -> None:
        """What is added from now on stands on another page."""
        self.pages.append(self.length)

    def document(self, title: str) -> Extracted:
        """All blocks as one document."""
        title = title.strip() or (self.headings[0].title if self.headings else "")
        return Extracted("".join(self.parts), title, tuple(self.headings), tuple(self.pages))


def _html(path: Path) -> Iterator[Extracted]:
    parser = require_extra("selectolax.lexbor", "documents")
    tree = parser.LexborHTMLParser(path.read_bytes())
    title = tree.css_first("title")
    named = " ".join(title.text().split()) if title is not None else path.stem
    for node in tree.css(_UNREAD):
        node.decompose()
    joined, block, line = _Joined(), None, ""
    for node in tree.root.traverse(include_text=True) if tree.root is not None else ():
        if node.tag == "br":
            line += "\n"
        if node.tag != "-text":
            continue
        own = _block_of(node)
        if block is not None and own.mem_id != block.mem_id:
            joined.add(line, _level(block.tag))
            line = ""
        text = node.text(deep=False)
        block, line = own, line + (text if own.tag in _AS_WRITTEN else re.sub(r"\s+", " ", text))
    if block is not None:
        joined.add(line, _level(block.tag))
    yield joined.document(named)


def _block_of(node: Any) -> Any:
    """The element whose line a text stands in."""
    for _ in range(_DEEPEST):
        if node.parent is None:
            return node
        node = node.parent
        if node.tag not in _INLINE:
            return node
    return node


def _level(tag: str) -> int:
    return int(tag[1]) if re.fullmatch("h[1-6]", tag) else 0


def _pdf(path: Path) -> Iterator[Extracted]:
    pypdf = require_extra("pypdf", "documents")
    joined = _Joined()
    try:
        reader = pypdf.PdfReader(path, strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise AlbertError(ErrorKind.DATA, str(path), expected="a PDF without a password", got="an encrypted one")
        for page in reader.pages:
            joined.new_page()
            joined.add(page.extract_text() or "")
        title = str((reader.metadata or {}).get("/Title") or path.stem)
    except AlbertError:
        raise
    except Exception as error:  # pypdf raises whatever a damaged file leads it to
        raise AlbertError(ErrorKind.DATA, str(path), expected="a whole PDF", got=str(error)[:200]) from None
    if not joined.parts:
        raise AlbertError(
            ErrorKind.DATA, str(path), expected="a PDF with text", got="pictures alone", hint="recognise its text first"
        )
    yield joined.document(title)


def _docx(path: Path) -> Iterator[Extracted]:
    docx = require_extra("docx", "documents")
    joined = _Joined()
    try:
        document = docx.Document(str(path))
        for block in document.iter_inner_content():
            if not hasattr(block, "style"):
                continue
            if hasattr(block, "rows"):
                for row in block.rows:
                    joined.add(" | ".join(dict.fromkeys(cell.text.strip() for cell in row.cells)))
                continue
            style = block.style.name or ""
            level = int(style[-1]) if style.startswith("Heading") and style[-1:].isdigit() else int(style == "Title")
            joined.add(block.text, level)
        title = document.core_properties.title or path.stem
    except Exception as error:  # python-docx, too
        raise AlbertError(ErrorKind.DATA, str(path), expected="a whole .docx file", got=str(error)[:200]) from None
    yield joined.document(title)


# --- rows ------------------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[Extracted]:
    """A document a row. With the columns question and answer it is a FAQ, with a context SQuAD's paragraphs."""
    if is_document(str(path)):
        rows = document_rows(str(path), encoding="utf-8")
    else:
        rows = [row.values for row in Table(str(path))]
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        texts = {name.lower(): value.strip() for name, value in row.items() if isinstance(value, str) and value.strip()}
        title = next((texts[name] for name in _TITLE if name in texts), f"row {number}")
        if _QUESTION in texts and _ANSWER in texts:
            question = texts[_QUESTION]
            yield Extracted(question, title=question, name=str(number), answer=texts[_ANSWER])
            continue
        text = next((texts[name] for name in _TEXTS if name in texts), "\n\n".join(texts.values()))
        if text and text not in seen:  # SQuAD's rows repeat their paragraph
            seen.add(text)
            yield Extracted(text, title=title, name=str(number))


_READERS: dict[str, Callable[[Path], Iterator[Extracted]]] = {
    ".txt": _text, ".text": _text, ".md": _markdown, ".markdown": _markdown,
    ".html": _html, ".htm": _html, ".pdf": _pdf, ".docx": _docx,
    ".csv": _rows, ".tsv": _rows, ".xlsx": _rows, ".xlsm": _rows, ".jsonl": _rows, ".ndjson": _rows, ".json": _rows,
}  # fmt: skip
