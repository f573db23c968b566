"""The page at `/` in a real browser, as a person uses it, against a process that serves a model of every family."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

import served
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.keys import Keys, new_key
from albert.serve.core.service import Service
from albert.serve.http.app import create_app
from albert.serve.http.pages import PAGE
from albert.text.tokenizer import AlbertTokenizer
from browsers import contrast, opened, scored
from served import PRETRAINED, Server, write_model

pytestmark = pytest.mark.ci  # minutes altogether

MODELS = ["classification", "multilabel", "regression", "ner", "qa", "choice", "similarity", "text2text", PRETRAINED]
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"
FACES = "🎓👩‍🚀 Łódź: "  # 7 code points in 10 UTF-16 units before what is looked for
STYLE = (PAGE / "page.css").read_text(encoding="utf-8")
TABS = ["Classify", "Entities", "Answers", "Choices", "Similarity", "Search", "Labels", "Fill in", "Write", "Moderate",
        "Summary", "Pieces", "About"]  # fmt: skip
UNHEARD = """() => [...document.querySelectorAll("input, select, textarea, button, pre, [tabindex]")].filter(each =>
    !each.labels?.length && !each.getAttribute("aria-label") && !each.textContent.trim()).map(each => each.outerHTML)"""


@pytest.fixture(scope="module")
def server(browser: Any, tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Started once a browser is found: without one all tests here skip."""
    folder = tmp_path_factory.mktemp("page")
    models = [str(write_model(folder / name, None if name == PRETRAINED else name, tokenizer)) for name in MODELS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(served.LABELS, "classification", (HOSTILE, "fine"))
        models.append(str(write_model(folder / "hostile", "classification", tokenizer)))
    (folder / "hostile" / "README.md").write_text(
        f"---\nx: y\n---\n# {HOSTILE}\n[here](javascript:alert(3)) ![a](x.png)\n\n"
        f"- **{HOSTILE}**\n\n|a|\n|-|\n|{HOSTILE}|\n"
    )
    server = Server.start(*models)
    yield server
    assert server.stop() == 0


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    with opened(browser, server.url) as page:
        yield page


def shown(page: Any, tab: str) -> Any:
    """The panel of a tab, chosen."""
    page.get_by_role("tab", name=tab, exact=True).click()
    return page.locator("[role=tabpanel]:visible")


def choose(panel: Any, model: str) -> None:
    panel.get_by_label("Model", exact=True).select_option(model)


def answered(panel: Any) -> str:
    """What the result says, once it is there."""
    panel.locator(".picture:not([aria-busy]) > *").first.wait_for()
    return str(panel.locator(".said").inner_text())


def post(server: Server, path: str, **body: Any) -> Any:
    with server.client() as client:
        response = client.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()


def test_the_page_is_told_what_each_model_does(server: Server) -> None:
    with server.client() as client:
        told = client.get("/page/models").json()
    assert (told["max_inputs"], told["max_body"]) == (32, 2_000_000)
    models = {model["name"]: model for model in told["models"]}
    assert next(iter(models)) == "classification"
    assert [name for name, model in models.items() if model["chooses"]] == ["choice"]
    assert [name for name, model in models.items() if model["numeric"]] == ["regression"]
    assert [name for name, model in models.items() if model["card"]] == ["hostile"]
    assert [name for name, model in models.items() if model["limits"]] == ["multilabel"]
    assert models["classification"]["labels"] == ["bad", "good", "none"]


def test_every_tab_answers_its_example(page: Any) -> None:
    page.get_by_role("tab").first.wait_for()
    assert page.get_by_role("tab").all_inner_texts() == TABS
    for tab in TABS[:-1]:
        panel = shown(page, tab)
        panel.get_by_role("button", name="Try an example").click()
        assert answered(panel), tab
        assert re.match(r"\d+ ms", panel.locator(".picture + .facts").inner_text())
        json.loads(panel.locator(".raw pre").nth(1).text_content())
    assert page.evaluate(UNHEARD) == []
    panel = shown(page, "About")
    assert "classification" in panel.inner_text()


def test_the_page_answers_while_one_types(page: Any, server: Server) -> None:
    asked: list[Any] = []
    page.on("request", lambda request: request.url.endswith("/predict") and asked.append(request.post_data_json))
    panel = shown(page, "Classify")
    panel.get_by_label("Text", exact=True).press_sequentially("a lovely day", delay=5)
    label = answered(panel).rpartition(",")[0]
    assert label == post(server, "/predict", inputs="a lovely day")[0]["label"]
    assert 1 <= len(asked) < 6
    assert asked[-1] == {"inputs": "a lovely day", "model": "classification"}
    panel.get_by_label("Text", exact=True).fill("")
    panel.get_by_text("The result comes while you type.").wait_for()
    assert panel.locator(".bars").count() == 0


def test_another_model_answers_at_once(page: Any, server: Server) -> None:
    panel = shown(page, "Classify")
    panel.get_by_role("button", name="Try an example").click()
    answered(panel)
    choose(panel, "regression")
    panel.locator(".bars.number").wait_for()
    text = panel.get_by_label("Text", exact=True).input_value()
    number = post(server, "/predict", inputs=text, model="regression")[0]["score"]
    assert float(panel.locator(".bars .score").inner_text()) == pytest.approx(number, abs=0.05)
    assert panel.locator(".track").count() == 0


def test_several_labels_are_those_of_the_command_line(page: Any, server: Server, tmp_path: Path) -> None:
    texts = [f"{word} number {n}" for n in range(12) for word in ("hate", "a lovely", "threat")]
    (source := tmp_path / "in.csv").write_text("text\n" + "\n".join(texts))
    panel = shown(page, "Classify")
    choose(panel, "multilabel")
    rows = list(csv.DictReader(io.StringIO(scored(page, panel, source, "Done: 36 of 36 rows scored."))))
    assert list(rows[0]) == ["text", "labels", "score hate", "score threat"]
    limits = dict(zip(served.LABELS["multilabel"], served.LIMITS, strict=True))
    for row in rows:
        wanted = {label for label, least in limits.items() if float(row[f"score {label}"]) >= least}
        assert set(row["labels"].split("; ")) - {""} == wanted
    assert len({row["labels"] for row in rows}) > 1
    panel.get_by_label("Text", exact=True).fill(texts[0])
    assert answered(panel) == (rows[0]["labels"].replace("; ", ", ") or "No label")
    tagged = panel.locator(".bars li", has_text="given").locator(".name").all_inner_texts()
    assert sorted(name.removesuffix(" given") for name in tagged) == sorted(filter(None, rows[0]["labels"].split("; ")))


def test_masks_are_filled_together(page: Any, server: Server) -> None:
    panel = shown(page, "Fill in")
    text = "a [MASK] [MASK] of tea"
    panel.get_by_label("Text with [MASK]").fill("a [MASK]")
    steps = panel.get_by_label("Steps in which all masks are filled together")
    panel.get_by_text("Options").click()
    assert steps.is_hidden()
    panel.get_by_label("Text with [MASK]").fill(text)
    steps.fill("2")
    wanted = post(server, "/fill-mask", inputs=text, steps=2, model=PRETRAINED)
    panel.locator(".said", has_text=wanted["sequence"]).wait_for()
    assert panel.locator(".bars .name").all_inner_texts() == [one["token_str"] for one in wanted["tokens"]]


def test_labels_of_one_s_own(page: Any, server: Server, tmp_path: Path) -> None:
    """Of a text, and of a file, whose rows are labelled anew when the labels change."""
    texts = [f"{word} number {n}" for n in range(20) for word in ("the cat", "a parcel")]
    (source := tmp_path / "in.csv").write_text("text\n" + "\n".join(texts))
    panel = shown(page, "Labels")
    panel.get_by_text("A whole file").click()
    panel.get_by_label("File").set_input_files(source)
    start = panel.get_by_role("button", name="Score the rows")
    start.click()
    panel.get_by_text("First fill in the fields above").wait_for()
    panel.get_by_text("A whole file").click()
    fields = panel.get_by_label("Labels, one per line, descriptions behind =")
    for labels in ({"a_cat": "", "mail": "post = letters, and parcels"}, {"dogs": "", "rain": "wet weather"}):
        fields.fill("\n\n".join(f"{name} = {about}" if about else name for name, about in labels.items()))
        body = {"labels": labels, "model": "similarity"}
        halves = [post(server, "/classify", inputs=half, **body) for half in (texts[:20], texts[20:])]
        wanted = [row[0] for half in halves for row in half]
        done = scored(page, panel, source, "Done: 40 of 40 rows scored.")
        rows = list(csv.DictReader(io.StringIO(done)))
        assert [(row["prediction"], float(row["score"])) for row in rows] == [
            (one["label"], pytest.approx(one["score"], abs=0.02)) for one in wanted
        ]  # fmt: skip
        assert panel.get_by_text("First fill in").count() == 0
        panel.get_by_text("A whole file").click()
    panel.get_by_label("Text", exact=True).fill(texts[0])
    assert answered(panel).startswith(f"{wanted[0]['label']}, ")


def test_texts_labels_and_cards_stay_text(page: Any) -> None:
    classify = shown(page, "Classify")
    choose(classify, "hostile")
    classify.get_by_label("Text", exact=True).fill(HOSTILE)
    answered(classify)
    assert HOSTILE in classify.locator(".bars .name").all_inner_texts()
    for tab, field in (("Entities", "Text"), ("Similarity", "Text"), ("Pieces", "Text"), ("Summary", "Text")):
        panel = shown(page, tab)
        panel.get_by_label(field, exact=True).fill(f"{HOSTILE} One. Two. Three.")
        if tab == "Similarity":
            panel.get_by_label("Others").fill(HOSTILE)
        answered(panel)
    about = shown(page, "About")
    about.locator("summary", has_text="hostile").click()
    assert about.locator(".prose:visible h3").inner_text() == HOSTILE
    assert about.locator(".prose:visible td").inner_text() == HOSTILE
    assert about.locator(".prose:visible p").inner_text() == "here (javascript:alert(3)) Picture: a"
    assert "x: y" not in about.inner_text()
    assert page.evaluate("document.querySelectorAll('img, main a, main script, [onerror]').length") == 0


def test_marks_stand_where_the_server_says(page: Any, server: Server) -> None:
    text = f"{FACES}Marie Curie came from Warsaw 🎓 to Paris."
    panel = shown(page, "Entities")
    panel.get_by_label("Text", exact=True).fill(text)
    answered(panel)
    wanted = [found["word"] for found in post(server, "/entities", inputs=text, model="ner")]
    marks = panel.locator("mark").evaluate_all("marks => marks.map(mark => mark.firstChild.data)")
    assert wanted
    assert marks == wanted
    whole = panel.locator(".document").evaluate(
        "each => { for (const label of each.querySelectorAll('small'))"
        " { label.previousSibling.remove(); label.remove(); }"
        "return each.textContent }"
    )
    assert whole == text

    panel = shown(page, "Answers")
    panel.get_by_label("Question").fill("Who?")
    panel.get_by_label("Document").fill(text)
    answered(panel)
    best = post(server, "/answer", question="Who?", context=text, model="qa")[0]
    assert panel.locator("mark").inner_text() == best["answer"] == text[best["start"] : best["end"]]


def test_a_file_is_scored_row_by_row(browser: Any, server: Server, tmp_path: Path) -> None:
    texts = [f'row {i}; "quoted"\nand {HOSTILE} 🎓' for i in range(70)]
    source = tmp_path / "in.csv"
    with source.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerows([["id", "prediction", "text"], *([i, "x", text] for i, text in enumerate([*texts, " "]))])
    asked: list[int] = []

    def handle(route: Any) -> None:
        asked.append(len(route.request.post_data_json["inputs"]))
        if len(asked) == 1:
            body = json.dumps({"error": "too many", "error_type": "Overloaded"})
            route.fulfill(status=429, headers={"retry-after": "2", "content-type": "application/json"}, body=body)
        else:
            route.continue_()

    with opened(
        browser, server.url, allowed="Failed to load resource: the server responded with a status of 429"
    ) as page:
        page.route("**/predict", handle)
        panel = shown(page, "Classify")
        panel.get_by_text("A whole file").click()
        panel.get_by_label("File").set_input_files(source)
        assert panel.get_by_label("Column: Text").evaluate("each => each.selectedOptions[0].text") == "text"
        panel.get_by_role("button", name="Score the rows").click()
        panel.get_by_text("Going on in 2 s.").wait_for()
        panel.get_by_text("Done: 70 of 71 rows scored, 1 left out").wait_for()
        with page.expect_download() as download:
            panel.get_by_role("button", name="Download CSV").click()
        assert download.value.suggested_filename == "in-scored.csv"
        scored = Path(download.value.path()).read_text(encoding="utf-8")
    assert sorted(asked) == [6, 32, 32, 32]
    header, *rows = csv.reader(io.StringIO(scored, newline=""), delimiter=";")
    names = ["albert prediction", "score", "score bad", "score good", "score none", "error"]
    assert header == ["id", "prediction", "text", *names]
    assert [row[:3] for row in rows] == [[str(i), "x", text] for i, text in enumerate([*texts, " "])]
    assert rows[-1][3:] == ["", "", "", "", "", "blank"]
    batch = [[text] for text in texts[:32]]
    wanted = post(server, "/predict", inputs=batch)
    assert [float(row[4]) for row in rows[:32]] == pytest.approx([each[0]["score"] for each in wanted], abs=1e-2)


def test_a_row_the_server_refuses_does_not_stop_the_others(browser: Any, server: Server, tmp_path: Path) -> None:
    source = tmp_path / "in.tsv"
    source.write_text("text\n" + "".join(f"fine {i}\n" for i in range(9)) + "word " * 5000 + "\n")
    with opened(
        browser, server.url, allowed="Failed to load resource: the server responded with a status of 413"
    ) as page:
        panel = shown(page, "Entities")
        panel.get_by_text("A whole file").click()
        panel.get_by_label("File").set_input_files(source)
        panel.get_by_role("button", name="Score the rows").click()
        panel.get_by_text("Done: 9 of 10 rows scored, 1 left out").wait_for()


def test_scoring_stops_and_goes_on(page: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\n" + "".join(f"row {i}\n" for i in range(70)))
    asked: list[str] = []
    sizes: list[int] = []
    page.on("request", lambda request: request.post_data and sizes.append(len(request.post_data_json["inputs"])))
    page.route("**/predict", lambda route: asked.append(route.request.url) or len(asked) > 1 or route.continue_())
    panel = shown(page, "Classify")
    panel.get_by_text("A whole file").click()
    panel.get_by_label("File").set_input_files(source)
    panel.get_by_role("button", name="Score the rows").click()
    panel.get_by_text("32 of 70 rows").wait_for()
    panel.get_by_role("button", name="Stop").click()
    panel.get_by_text("Stopped: 32 of 70 rows scored.").wait_for()
    page.unroute_all()
    panel.get_by_role("button", name="Go on").click()
    panel.get_by_text("Done: 70 of 70 rows scored.").wait_for()
    assert sorted(sizes) == [6, 6, 32, 32, 32]  # what was scored is not sent again


def test_files_that_are_none_are_told(page: Any, tmp_path: Path) -> None:
    panel = shown(page, "Moderate")
    panel.get_by_text("A whole file").click()
    for content, words in (
        (b"text,n\na,1\nb\n", "The header has 2 columns, but line 3 has 1."),
        (b'text\n"never closed\n', "The quote that begins in line 2 does not end."),
        ("text\nnaïve\n".encode("latin-1"), "The file is not UTF-8."),
        (b"text\n", "The file has no rows below its header."),
    ):
        source = tmp_path / f"{len(content)}.csv"  # browsers do not tell that the same one was chosen again
        source.write_bytes(content)
        panel.get_by_label("File").set_input_files(source)
        panel.get_by_text(words).wait_for()
        assert panel.get_by_role("button", name="Score the rows").is_disabled()


def test_tables_are_those_of_python(page: Any) -> None:
    cells = ["", "a", 'say "so"', '"', ",", ";", "\t", "two\nlines", "\r\n", " b ", "🎓", '""']
    tables = [
        [
            [cells[(17 * n + 5 * row + 7 * column * (n + 1)) % len(cells)] for column in range(width)]
            for row in range(1, 5)
        ]
        for n in range(60)
        for width in (1, 2, 3)
    ]
    for delimiter in ",;\t":
        texts = []
        for table in tables:
            text = io.StringIO()
            csv.writer(text, delimiter=delimiter).writerows(table)
            texts.append(text.getvalue().removesuffix("\r\n" if len(texts) % 2 else ""))
        read, written = page.evaluate(
            "async ([texts, tables, delimiter]) => { const {parse, writeTable} = await import('/page/csv.js');"
            "return [texts.map(text => parse(text, delimiter).map(row => row.cells)),"
            "        tables.map(table => writeTable(table, delimiter))] }",
            [texts, tables, delimiter],
        )
        assert read == tables
        again = [list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)) for text in written]
        assert [[row or [""] for row in table] for table in again] == tables


def test_the_curl_command_asks_the_same(page: Any, server: Server) -> None:
    text = 'it\'s $HOME `id` \\ "quoted"!\n@🎓'
    panel = shown(page, "Classify")
    panel.get_by_label("Text", exact=True).fill(text)
    answered(panel)
    panel.get_by_role("button", name="Copy as curl").click()
    panel.get_by_text("Copied.").wait_for()
    command = page.evaluate("navigator.clipboard.readText()")
    words = shlex.split(command)
    assert words[:3] == ["curl", "-sS", f"{server.url}/predict"]
    assert json.loads(words[-1]) == {"inputs": text, "model": "classification"}
    if shutil.which("curl"):
        said = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=20).stdout
    else:
        said = httpx.post(
            words[2], content=words[-1], headers={"content-type": "application/json"}, trust_env=False
        ).content
    shown_json = json.loads(panel.locator(".raw pre").nth(1).text_content())
    assert [entry["label"] for entry in json.loads(said)] == [entry["label"] for entry in shown_json]


def test_tabs_go_by_arrow_keys(page: Any) -> None:
    tab = page.get_by_role("tab", name="Classify")
    tab.focus()
    for key, name in (("ArrowRight", "Entities"), ("End", "About"), ("ArrowRight", "Classify"), ("ArrowLeft", "About"),
                      ("Home", "Classify")):  # fmt: skip
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.innerText") == name
        assert page.locator("[aria-selected=true]").all_inner_texts() == [name]
        assert page.locator("[role=tabpanel]:visible").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "classify-model"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Tab")
    page.keyboard.type("lovely")
    assert answered(page.locator("[role=tabpanel]:visible"))
    assert page.url.endswith("#classify")


def test_errors_come_in_plain_words(browser: Any, server: Server) -> None:
    with opened(browser, server.url, allowed="Failed to load resource") as page:
        panel = shown(page, "Search")
        panel.get_by_label("Looking for").fill("a")
        panel.get_by_label("Texts").fill("b\n" * 40)
        panel.get_by_text("That is more than the server accepts at once. It said: 40 inputs").wait_for()
        page.route("**/rerank", lambda route: route.abort())
        panel.get_by_label("Looking for").fill("c")
        panel.get_by_text("The server does not answer.").wait_for()
        page.unroute_all()
        panel.get_by_label("Texts").fill("b")
        assert answered(panel) == "First: b"
        assert panel.locator(".trouble").first.inner_text() == ""


def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, server: Server) -> None:
    with opened(browser, server.url, viewport={"width": 360, "height": 740}, color_scheme="dark") as page:
        for tab in ("Classify", "Entities", "Similarity", "Summary", "About"):
            panel = shown(page, tab)
            if tab != "About":
                panel.get_by_role("button", name="Try an example").click()
                answered(panel)
            page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, tab


@pytest.mark.parametrize("palette", range(2), ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(palette: int) -> None:
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[palette]
    colors = dict(re.findall(r"--(\w+): (#\w{6});", block))
    grounds = ["paper", "card", *(f"tone{n}" for n in range(6))]
    behind = {"ink": grounds, "muted": grounds, "accent": ["paper", "card"], "error": ["paper", "card"],
              "onaccent": ["accent"]}  # fmt: skip
    for name, others in behind.items():
        for other in others:
            assert contrast(colors[name], colors[other]) >= 4.5, (name, other)
    assert contrast(colors["edge"], colors["card"]) >= 3  # of what is no text


def test_the_policy_forbids_everything_from_elsewhere(browser: Any, server: Server) -> None:
    with server.client() as client:
        for path in ("/", "/page/page.js", "/page/page.css"):
            policy = client.get(path).headers["content-security-policy"]
            assert dict(part.strip().split(" ", 1) for part in policy.split(";")) == {
                "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
                "img-src": "'self' data:", "form-action": "'none'", "frame-ancestors": "'none'", "base-uri": "'none'",
            }  # fmt: skip
    with opened(browser, server.url, allowed="Executing inline script violates") as page:
        assert (
            page.evaluate("""() => { const script = document.createElement("script");
            script.textContent = "window.ran = 1"; document.body.append(script); return window.ran }""")
            is None
        )


@contextmanager
def in_this_process(service: Service) -> Iterator[str]:
    """The address of a server in a thread, which spares the seconds that importing torch takes."""
    server = uvicorn.Server(uvicorn.Config(create_app(service), log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


def test_a_key_opens_the_page_and_stays_in_the_tab(browser: Any, tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    key, stored = new_key("me")
    model = Hosted.load(Source("model", str(write_model(tmp_path / "model", "classification", tokenizer))))
    refused = "Failed to load resource: the server responded with a status of 401"
    with in_this_process(Service([model], keys=Keys([stored]))) as url, opened(browser, url, allowed=refused) as page:
        for wrong, words in (("naïve key", "A key has no spaces"), ("wrong", "The server did not accept this key.")):
            page.get_by_label("API key").fill(wrong)
            page.keyboard.press("Enter")
            page.get_by_text(words).wait_for()
        assert page.get_by_role("tab").count() == 0
        page.get_by_label("API key").fill(key)
        page.keyboard.press("Enter")
        panel = shown(page, "Classify")
        panel.get_by_role("button", name="Try an example").click()
        answered(panel)
        command = panel.locator(".raw pre").first.text_content()
        assert '-H "Authorization: Bearer $ALBERT_API_KEY"' in command
        assert key not in page.content() + command
        assert page.evaluate("[localStorage.length, document.cookie, sessionStorage.length]") == [0, "", 1]
        page.reload()
        page.get_by_role("tab").first.wait_for()
        page.get_by_role("button", name="Forget the key").click()
        page.get_by_label("API key").wait_for()
        assert page.evaluate("sessionStorage.length") == 0
