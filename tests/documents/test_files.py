"""What files hold: text with its headings, pages and rows, and one clear line for those that cannot be read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import openpyxl
import pytest

from albert.documents.extracted import Extracted
from albert.documents.files import extract, files_below
from albert.errors import AlbertError, ErrorKind


def one(path: Path, data: str | bytes) -> Extracted:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    (document,) = extract(path)
    return document


def pdf_of(*pages: str) -> bytes:
    """A PDF with a line of text a page, written by hand: pypdf reads and does not draw."""
    kids = " ".join(f"{3 + 2 * n} 0 R" for n in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    for n, text in enumerate(pages):
        font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] /Contents {4 + 2 * n} 0 R /Resources {font} >>"
        )
        drawn = f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    file, places = io.BytesIO(b"%PDF-1.4\n"), []
    file.seek(0, io.SEEK_END)
    for number, body in enumerate(objects, 1):
        places.append(file.tell())
        file.write(f"{number} 0 obj\n{body}\nendobj\n".encode())
    start = file.tell()
    entries = "".join(f"{place:010} 00000 n \n" for place in places)
    file.write(f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{entries}".encode())
    file.write(f"trailer << /Size {len(places) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())
    return file.getvalue()


def test_markdown_has_headings_but_not_in_code(tmp_path: Path) -> None:
    text = (
        "# Shop\n\nHello.\n\n```\n# a comment\n```\n\nReturns\n-------\n\nWithin 30 days.\n\n### Shoes ###\n\nUnworn."
    )
    document = one(tmp_path / "a.md", text)
    assert [(h.level, h.title) for h in document.headings] == [(1, "Shop"), (2, "Returns"), (3, "Shoes")]
    assert document.context(document.text.index("Unworn")) == "Shop > Returns > Shoes"
    assert document.title == "Shop"


def test_html_has_the_text_that_a_reader_sees(tmp_path: Path) -> None:
    document = one(
        tmp_path / "a.html",
        "<html><head><title>Our  shop</title><style>p {}</style></head><body><nav>Home</nav><h1>Data</h1>"
        "<p>We keep it for\n <b>two</b> years.<br>No <i>sale</i>.</p><script>alert(1)</script>"
        "<ul><li>Fast<li>Safe</ul><h2>Shoes</h2>Loose &amp; bare</body></html>",
    )
    assert document.title == "Our shop"
    assert document.text.split("\n\n")[:6] == [
        "Data", "We keep it for two years.\nNo sale.", "Fast", "Safe", "Shoes", "Loose & bare",
    ]  # fmt: skip
    assert document.context(document.text.index("Loose")) == "Data > Shoes"


def test_deep_html_takes_no_stack(tmp_path: Path) -> None:
    document = one(tmp_path / "a.html", "<div>" * 5_000 + "<b>" * 500 + "deep")
    assert "deep" in document.text


def test_a_pdf_has_pages(tmp_path: Path) -> None:
    document = one(tmp_path / "a.pdf", pdf_of("The first page.", "Refunds take two weeks."))
    assert document.page(document.text.index("first")) == 1
    assert document.page(document.text.index("Refunds")) == 2


def test_word_files_have_headings_and_tables(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    file = docx.Document()
    file.add_heading("Returns", 1)
    file.add_paragraph("Within 30 days.")
    table = file.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text, table.rows[0].cells[1].text = "Shoes", "14 days"
    file.save(tmp_path / "a.docx")
    (document,) = extract(tmp_path / "a.docx")
    assert "Shoes | 14 days" in document.text
    assert document.context(document.text.index("Within")) == "Returns"


@pytest.mark.parametrize(
    ("name", "data", "texts"),
    [
        ("a.csv", "title,text\nOne,first\nTwo,second\n", ["first", "second"]),
        ("a.jsonl", '{"body": "first"}\n{"body": "second"}\n', ["first", "second"]),
        ("a.json", '[{"context": "same", "question": "q"}, {"context": "same", "question": "r"}]', ["same"]),
        ("a.tsv", "id\tname\n1\tlamp\n2\tchair\n", ["lamp", "chair"]),
    ],
)
def test_rows_are_documents(tmp_path: Path, name: str, data: str, texts: list[str]) -> None:
    (tmp_path / name).write_text(data)
    found = list(extract(tmp_path / name))
    assert [text in document.text for document, text in zip(found, texts, strict=True)] == [True] * len(texts)
    assert len({document.name for document in found}) == len(found)


def test_questions_with_answers_are_a_faq(tmp_path: Path) -> None:
    (tmp_path / "faq.csv").write_text("Question,Answer\nHow do I pay?,By card.\n")
    book = openpyxl.Workbook()
    book.worksheets[0].append(["Question", "Answer"])
    book.worksheets[0].append(["How do I pay?", "By card."])
    book.save(tmp_path / "faq.xlsx")
    for name in ("faq.csv", "faq.xlsx"):
        (document,) = extract(tmp_path / name)
        assert (document.text, document.answer) == ("How do I pay?", "By card.")


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.txt", b"caf\xe9", "UTF-8"),
        ("a.md", b"a\0b", "binary"),
        ("a.pdf", b"%PDF-1.4 nothing", "whole PDF"),
        ("a.docx", b"PK\x03\x04 nothing", "whole .docx"),
        ("a.json", b"{", "JSON"),
        ("a.csv", b"", "rows"),
    ],
)
def test_a_broken_file_is_told_in_one_line(tmp_path: Path, name: str, data: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AlbertError, match=what) as caught:
        list(extract(tmp_path / name))
    assert caught.value.kind is ErrorKind.DATA
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hidden_files_and_links_out_of_the_folder_are_left_out(tmp_path: Path) -> None:
    docs, other = tmp_path / "docs", tmp_path / "secret.txt"
    (docs / "inner").mkdir(parents=True)
    (docs / ".git").mkdir()
    for name in ("b.txt", "inner/a.md", ".hidden.txt", ".git/c.txt", "picture.png"):
        (docs / name).write_text("x")
    other.write_text("x")
    os.symlink(other, docs / "out.txt")
    os.symlink(docs / "b.txt", docs / "inside.txt")
    os.symlink(docs, docs / "inner" / "loop")
    assert [path.relative_to(docs).as_posix() for path in files_below(docs)] == ["b.txt", "inside.txt", "inner/a.md"]
    with pytest.raises(AlbertError, match="none"):
        list(files_below(tmp_path / "nowhere"))
