"""The page of `albert export --to web` in a real browser, over a static web server that can do nothing else."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from albert.text.tokenizer import AlbertTokenizer
from browsers import opened, scored
from webs import static, write_site

pytestmark = pytest.mark.ci  # seconds each

TABS = {
    "classification": "Classify", "multilabel": "Classify", "regression": "Classify", "ner": "Entities",
    "qa": "Answers", "choice": "Choices", "similarity": "Similarity",
}  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def url(browser: Any, tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Sites of every task below one address: a page works below any path."""
    folder = tmp_path_factory.mktemp("sites")
    for task in TABS:
        (folder / task).mkdir()
        write_site(folder / task, task, tokenizer)
    with static(folder) as address:
        yield address


def panel_of(page: Any) -> Any:
    page.get_by_role("tab").first.wait_for()
    return page.locator("[role=tabpanel]:visible")


def answered(panel: Any) -> str:
    panel.locator(".picture:not([aria-busy]) > *").first.wait_for()
    return str(panel.locator(".said").inner_text())


@pytest.mark.parametrize("task", TABS)
def test_the_tab_of_the_task_answers(browser: Any, url: str, task: str) -> None:
    asked: list[tuple[str, str]] = []
    with opened(browser, f"{url}{task}/site/") as page:  # fails for a policy that is violated, and for other hosts
        page.on("request", lambda request: asked.append((request.method, request.url)))
        panel = panel_of(page)
        assert page.get_by_role("tab").first.inner_text() == TABS[task]
        page.get_by_text("It runs in this browser. Nothing is sent.", exact=True).first.wait_for()
        loaded = len(asked)
        panel.get_by_role("button", name="Try an example").click()
        assert answered(panel)
        pieces = page.get_by_role("tab", name="Pieces")
        pieces.click()
        panel_of(page).get_by_role("button", name="Try an example").click()
        assert "pieces of the" in answered(panel_of(page))
    assert asked[loaded:] == []
    assert {method for method, _ in asked} <= {"GET"}


def test_a_file_is_scored_in_the_worker(browser: Any, url: str, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    rows = [f'row {i}, "quoted" {HOSTILE}' for i in range(40)]
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([i, text] for i, text in enumerate([*rows, " "]))])
    with opened(browser, f"{url}classification/site/") as page:
        panel = panel_of(page)
        written = scored(page, panel, source, "Done: 40 of 41 rows scored, 1 left out")
        panel.get_by_text("It is read and scored in this browser. Nothing is sent.").wait_for()
        header, *found = csv.reader(io.StringIO(written, newline=""))
        panel.get_by_label("Text", exact=True).fill(rows[7])
        first = answered(panel)
    assert header == ["id", "text", "prediction", "score", "score bad", "score good", "score none", "error"]
    assert [row[1] for row in found] == [*rows, " "]
    assert first == f"{found[7][2]}, {100 * float(found[7][3]):.1f} %"
    assert found[-1][-1] == "blank"


def test_the_page_stays_responsive_while_rows_are_scored(browser: Any, url: str, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "".join(f"{'word ' * 60}{i}\n" for i in range(3000)))
    with opened(browser, f"{url}ner/site/") as page:
        panel = panel_of(page)
        panel.get_by_text("A whole file").click()
        panel.get_by_label("File").set_input_files(source)
        panel.get_by_role("button", name="Score the rows").click()
        panel.get_by_text("rows, about").wait_for()
        longest = page.evaluate(
            "async () => { let longest = 0; let last = performance.now(); const end = last + 1000;"
            "while (last < end) { await new Promise((done) => setTimeout(done)); const now = performance.now();"
            "longest = Math.max(longest, now - last); last = now; } return longest }"
        )
        panel.get_by_label("Text", exact=True).fill("Ada met Bob.")
        assert answered(panel)
        panel.get_by_role("button", name="Stop").click()
        panel.get_by_text("Stopped:").wait_for()
    assert longest < 500  # a whole second is computed meanwhile


def test_it_goes_by_keyboard(browser: Any, url: str) -> None:
    with opened(browser, f"{url}classification/site/") as page:
        panel_of(page)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.innerText") == "Classify"
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.innerText") == "Pieces"
        page.keyboard.press("Home")
        page.keyboard.press("Tab")
        page.keyboard.type("lovely")
        page.keyboard.press("Control+Enter")
        assert answered(panel_of(page))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, url: str, scheme: str) -> None:
    size = {"width": 360, "height": 740}
    with opened(browser, f"{url}qa/site/", viewport=size, color_scheme=scheme) as page:
        panel = panel_of(page)
        panel.get_by_role("button", name="Try an example").click()
        answered(panel)
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        paper = {"light": "rgb(251, 251, 250)", "dark": "rgb(20, 23, 27)"}[scheme]
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
        nameless = """() => [...document.querySelectorAll("input, select, textarea, button, pre")].filter(each =>
            !each.labels?.length && !each.getAttribute("aria-label") && !each.textContent.trim()).length"""
        assert page.evaluate(nameless) == 0


def test_the_policy_holds_for_the_page_and_its_worker(browser: Any, url: str) -> None:
    with opened(
        browser, f"{url}classification/site/", allowed=("Refused to", "Executing", "Connecting", "Fetch")
    ) as page:
        panel_of(page)
        elsewhere = "fetch('http://127.0.0.1:1/').then(() => 'sent', () => 'refused')"
        assert page.evaluate(elsewhere) == "refused"
        assert page.evaluate(
            "() => new Promise((done) => { document.addEventListener('securitypolicyviolation', (event) =>"
            f"done(event.effectiveDirective)); {elsewhere}; }})"
        ) == "connect-src"  # fmt: skip
        [worker] = page.workers
        assert worker.evaluate(
            "() => new Promise((done) => { self.addEventListener('securitypolicyviolation', (event) =>"
            f"done(event.effectiveDirective)); {elsewhere}; }})"
        ) == "connect-src"  # fmt: skip


def test_what_cannot_be_loaded_is_told(browser: Any, tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    site = write_site(tmp_path, "classification", tokenizer)
    (site / "model" / "spiece.model.gz").unlink()
    with static(site) as address, opened(browser, address, allowed="Failed to load resource") as page:
        page.get_by_text("The model cannot be loaded: the server said 404 to ../model/spiece.model.gz.").wait_for()
    (site / "model" / "spiece.model.gz").write_bytes(b"no vocabulary")
    with static(site) as address, opened(browser, address) as page:
        page.get_by_text("error[bad-model] spiece.model: expected a SentencePiece model").wait_for()
