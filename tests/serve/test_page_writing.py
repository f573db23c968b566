"""The page's tab of models that write, in a real browser: text that grows, options, what stops it, files."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import albert
from albert.predict.draft import Draft
from albert.predict.writer import Writer
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.limits import Limits
from albert.serve.core.service import Service
from browsers import opened, scored
from rewriting import write_model
from served import Running

pytestmark = pytest.mark.ci

TEXT = "drei Null"
LONG = "eins zwei drei vier"


@pytest.fixture(scope="module")
def folder(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("written") / "model")


@pytest.fixture(scope="module")
def writer(folder: Path) -> Writer:
    loaded = albert.load(folder)
    assert isinstance(loaded, Writer)
    return loaded


@contextmanager
def tab(browser: Any, folder: Path, *, allowed: str = "\0", **limits: Any) -> Iterator[tuple[Any, Any, Service]]:
    """The page, its first panel, and the service behind it."""
    service = Service([Hosted.load(Source("model", str(folder)))], limits=Limits(**limits))
    with (
        Running(service) as running,
        opened(browser, f"http://127.0.0.1:{running.address[1]}", allowed=allowed) as page,
    ):
        page.get_by_role("tab", name="Write", exact=True).wait_for()
        yield page, page.locator("[role=tabpanel]:visible"), service


def slowed(patch: pytest.MonkeyPatch, seconds: float) -> list[float]:
    """Makes each step of writing last; the moments of the steps."""
    step, moments = Draft.step, list[float]()

    def slow(draft: Draft) -> None:
        moments.append(time.monotonic())
        time.sleep(seconds)
        step(draft)

    patch.setattr(Draft, "step", slow)
    return moments


def shown(panel: Any) -> str:
    """The first text, once it is whole."""
    panel.locator(".picture:not([aria-busy]) > .written").first.wait_for()
    return first(panel)


def first(panel: Any) -> str:
    return str(panel.locator(".picture > .written").first.evaluate("node => node.firstChild.data"))


def test_a_text_grows_while_it_is_written(
    browser: Any, folder: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed(monkeypatch, 0.05)
    with tab(browser, folder) as (page, panel, _):
        assert page.get_by_role("tab").all_inner_texts() == ["Write", "Pieces", "About"]
        panel.get_by_label("Text", exact=True).fill(TEXT)
        panel.locator(".picture.growing > .written").wait_for()
        early = first(panel)
        panel.get_by_text("Writing …").wait_for()
        whole = shown(panel)
        assert 0 < len(early) < len(whole)
        assert whole.startswith(early)
        assert whole.strip() == writer(TEXT)[0]["text"]
        panel.get_by_role("button", name="Copy the text").click()
        panel.get_by_text("Copied.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == writer(TEXT)[0]["text"]


def test_options_are_folded_and_change_the_answer(browser: Any, folder: Path, writer: Writer) -> None:
    with tab(browser, folder) as (page, panel, _):
        asked: list[Any] = []
        page.on("request", lambda request: request.post_data and asked.append(request.post_data_json))
        panel.get_by_label("Text", exact=True).fill(TEXT)
        shown(panel)
        assert asked[-1] == {"inputs": TEXT, "stream": True}
        assert not panel.get_by_label("How it is written").is_visible()
        panel.get_by_text("Options", exact=True).click()
        assert not panel.get_by_label("Temperature").is_visible()
        panel.get_by_label("How it is written").select_option("beam")
        panel.get_by_label("Texts").fill("3")
        panel.locator(".others > li").nth(1).wait_for()
        wanted = [answer["text"] for answer in writer.writing(beam=4)(TEXT, top_k=3)]
        assert shown(panel).strip() == wanted[0]
        assert [
            text.partition(" ends at")[0] for text in panel.locator(".others .written").all_inner_texts()
        ] == wanted[1:]
        assert asked[-1] == {"inputs": TEXT, "beam": 4, "top_k": 3, "stream": True}

        panel.get_by_label("Texts").fill("1")
        panel.get_by_label("Contains these words").fill("7, 9,")
        panel.locator(".picture:not([aria-busy]) > .written", has_text="9").wait_for()
        assert asked[-1] == {"inputs": TEXT, "beam": 4, "top_k": 1, "words": ["7", "9"], "stream": True}
        assert shown(panel).strip() == writer.writing(beam=4, words=("7", "9"))(TEXT)[0]["text"]

        panel.get_by_label("How it is written").select_option("draws")
        panel.get_by_label("Texts").fill("1")
        panel.get_by_label("Seed").fill("7")
        panel.get_by_label("Begins with").fill("9-")
        with page.expect_request(lambda request: "9-" in (request.post_data or "")):
            pass
        panel.locator(".picture:not([aria-busy]) > .written", has_text="9-").wait_for()
        drawn = writer.writing(sample=True, seed=7, prefix="9-")(TEXT)[0]["text"]
        assert shown(panel).strip() == drawn
        panel.get_by_label("Temperature").fill("0")
        panel.get_by_text("A number is missing or too far.").wait_for()
        assert panel.locator(".written").count() == 0


def test_escape_stops_and_keeps_what_is_there(browser: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = slowed(monkeypatch, 0.1)
    with tab(browser, folder) as (page, panel, service):
        panel.get_by_label("Text", exact=True).fill(LONG)
        panel.locator(".picture.growing > .written").wait_for()
        page.keyboard.press("Escape")
        panel.get_by_text("Stopped.").wait_for()
        assert first(panel)
        assert not panel.get_by_role("button", name="Stop").is_visible()
        while service.under_way:
            time.sleep(0.01)
        before = len(moments)
        time.sleep(0.3)
        assert len(moments) == before
        page.keyboard.press("Control+Enter")
        panel.locator(".picture.growing > .written").wait_for()
        panel.get_by_role("button", name="Stop").click()
        panel.get_by_text("Stopped.").wait_for()
        assert page.evaluate("document.activeElement.innerText") == "Copy the text"


def test_an_error_in_the_midst_comes_in_plain_words(
    browser: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowed(monkeypatch, 0.1)
    with tab(browser, folder, timeout=1.0) as (_, panel, _):
        panel.get_by_label("Text", exact=True).fill(LONG)
        panel.get_by_text("The server did not answer in time.").wait_for()
        assert panel.locator(".written").count() == 0


def test_the_rows_of_a_file_are_written(browser: Any, folder: Path, writer: Writer, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("id,text\n" + "".join(f"{i},{text}\n" for i, text in enumerate([TEXT, LONG, "vier"] * 12)))
    with tab(browser, folder) as (page, panel, _):
        written = scored(page, panel, source, "Done: 36 of 36 rows scored")
    rows = list(csv.DictReader(io.StringIO(written, newline="")))
    assert [row["prediction"] for row in rows] == [each["text"] for each in writer([TEXT, LONG, "vier"] * 12)]
