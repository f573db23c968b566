"""`/search` and `/ask` over real connections, and their tabs in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import albert as package
from albert.serve.core.documents import Documents
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.service import Service
from albert.text.tokenizer import AlbertTokenizer
from browsers import launched, opened
from conftest import Albert
from served import PRETRAINED, Running, write_model

TEXTS = {
    "returns.md": "# Returns\n\nYou may return a parcel within 30 days.\n\n## Shoes\n\nUnworn shoes within 14 days.\n",
    "policies/shipping.txt": "We ship on weekdays. Orders above 50 euros are sent for free 🎓 to Łódź.\n",
    "faq.csv": "question,answer\nHow do I reset my password?,Press <b>Reset</b> on the account page.\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    for name, text in TEXTS.items():
        (folder / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    with package.Index(folder / "kb.db") as kb:
        kb.add(folder / "docs")
    for task in ("classification", "qa", "choice", "regression", PRETRAINED):
        write_model(folder / task, None if task == PRETRAINED else task, tokenizer)
    return folder


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    names = ("classification", "qa", "choice", "regression", PRETRAINED)
    models = [Hosted.load(Source.parse(str(folder / name))) for name in names]
    with Running(Service(models, documents=Documents(folder / "kb.db"))) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


def post(client: httpx.Client, path: str, status: int = 200, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def test_a_search_gives_passages_with_their_places(client: httpx.Client) -> None:
    hits = post(client, "/search", query="unworn shoes", top_k=2)
    assert (hits[0]["place"], hits[0]["heading"], hits[0]["words"]) == ("docs/returns.md:5", "Returns > Shoes", 1)
    assert len(hits) <= 2
    found = post(client, "/search", query="parcel euros password", filter="docs/policies/*")
    assert {hit["path"] for hit in found} == {"docs/policies/shipping.txt"}
    assert post(client, "/search", query="zzz") == []


def test_a_model_of_pairs_reads_the_passages_again(client: httpx.Client, folder: Path) -> None:
    query = "shoes parcel euros password"
    hits = post(client, "/search", query=query, top_k=3, rerank="regression")
    with package.Index(folder / "kb.db") as kb:
        wanted = kb.search(query, top_k=3, rerank=package.load(folder / "regression"))  # type: ignore[arg-type]
        found = kb.ask(
            query, reader=package.load(folder / "qa"), threshold=0.0, rerank=package.load(folder / "regression")
        )  # type: ignore[arg-type]
    assert [(hit["place"], hit["reranked"]) for hit in hits] == [(hit.place, hit.reranked) for hit in wanted]
    assert len(hits) > 1
    assert post(client, "/ask", question=query, threshold=0, rerank="regression")["answer"] == found.text
    assert post(client, "/search", query="zzz", rerank="regression") == []


def test_an_answer_stands_in_its_passage(client: httpx.Client) -> None:
    found = post(client, "/ask", question="When are unworn shoes sent to Łódź?", threshold=0)
    passage = found["passage"]
    assert found["answer"] == passage["text"][found["start"] : found["end"]] != ""
    assert passage["path"].startswith("docs/")
    faq = post(client, "/ask", question="How can I reset the password?", filter="docs/faq.csv")
    assert faq["answer"] == faq["passage"]["answer"] == "Press <b>Reset</b> on the account page."
    assert faq["start"] is None
    named = post(client, "/ask", question="When are unworn shoes sent to Łódź?", threshold=0, model="qa")
    assert named["answer"] == found["answer"]


def test_silence_names_the_nearest_passages(client: httpx.Client) -> None:
    found = post(client, "/ask", question="Who returns the king of shoes?", threshold=1)
    assert (found["answer"], found["start"]) == (None, None)
    assert found["passage"]["path"] == "docs/returns.md"
    nothing = post(client, "/ask", question="zzz")
    assert (nothing["answer"], nothing["passage"], nothing["others"]) == (None, None, [])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/search", {}, 422),
        ("/search", {"query": ""}, 422),
        ("/search", {"query": "x" * 10_001}, 422),
        ("/search", {"query": "x", "top_k": 0}, 422),
        ("/search", {"query": "x", "top_k": 10**9}, 422),
        ("/search", {"query": "x", "filter": "*" * 1001}, 422),
        ("/search", {"query": ["x"]}, 422),
        ("/ask", {"question": "x", "threshold": 2}, 422),
        ("/ask", {"question": "x", "threshold": "high"}, 422),
        ("/ask", {"question": None}, 422),
        ("/search", {"query": "x", "rerank": "nobody"}, 404),
        ("/search", {"query": "x", "rerank": "qa"}, 424),
        ("/search", {"query": "x", "rerank": PRETRAINED}, 424),
        ("/ask", {"question": "x", "rerank": "classification"}, 424),
        ("/ask", {"question": "x", "model": "nobody"}, 404),
        ("/ask", {"question": "x", "model": "classification"}, 424),
        ("/ask", {"question": "x", "model": "choice"}, 424),
    ],
)
def test_what_is_no_question_is_refused(client: httpx.Client, path: str, body: dict[str, Any], status: int) -> None:
    assert set(post(client, path, status, **body)) == {"error", "error_type"}


HOSTILE = ['"', "shoes NEAR parcel *", "text:shoes -days", "\\ud800 shoes", "shoes\\u0000", "' OR 1=1 --", "🎓" * 500,
           "e" + "\\u0301" * 2000, "shoes " * 1600, "(" * 1000]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_question_is_a_question(client: httpx.Client, text: str) -> None:
    text = text.replace('"', '\\"').replace("\\\\", "\\")
    for body in (f'{{"query": "{text}"}}', f'{{"query": "shoes", "filter": "{text[:900]}"}}'):
        assert client.post("/search", content=body, headers={"content-type": "application/json"}).status_code in {
            200,
            422,
        }
    asked = client.post("/ask", content=f'{{"question": "{text}"}}', headers={"content-type": "application/json"})
    assert asked.status_code in {200, 422}


def test_a_pattern_of_stars_costs_no_time(tmp_path: Path) -> None:
    (tmp_path / ("a" * 200 + ".txt")).write_text("shoes")
    with package.Index(tmp_path / "kb.db") as kb:
        kb.add(tmp_path)
        begun = time.monotonic()
        assert kb.search("shoes", path="*a" * 400 + "b") == []
        assert time.monotonic() - begun < 2


def test_many_ask_at_once(client: httpx.Client, running: Running) -> None:
    wanted = post(client, "/ask", question="How long for a parcel?", threshold=0)["answer"]

    def ask(_: int) -> str:
        with running.client() as own:
            answer: str = post(own, "/ask", question="How long for a parcel?", threshold=0)["answer"]
            return answer

    with ThreadPoolExecutor(8) as clients:
        assert set(clients.map(ask, range(40))) == {wanted}


def test_it_follows_the_index(client: httpx.Client, folder: Path) -> None:
    (folder / "more.txt").write_text("A zebra is no shoe.")
    assert post(client, "/search", query="zebra") == []
    with package.Index(folder / "kb.db") as kb:
        kb.add(folder / "more.txt")
        assert post(client, "/search", query="zebra")[0]["path"] == "more.txt"
        kb.remove("more.txt")
    assert post(client, "/search", query="zebra") == []


def test_without_an_index_there_is_none(every_model: tuple[Running, Path]) -> None:
    with every_model[0].client() as client:
        for path, body in (("/search", {"query": "x"}), ("/ask", {"question": "x"})):
            assert "--index" in post(client, path, 404, **body)["error"]
        assert client.get("/page/models").json()["index"] is None


def test_without_a_reader_faqs_answer_and_a_lost_index_is_told(folder: Path) -> None:
    documents = Documents(folder / "kb.db")
    service = Service([Hosted.load(Source.parse(str(folder / "classification")))], documents=documents)
    with Running(service) as running, running.client() as client:
        assert post(client, "/ask", question="How do I reset my password?")["answer"].startswith("Press")
        assert post(client, "/ask", question="How long for a parcel?")["answer"] is None
        documents._index.close()
        assert post(client, "/search", 503, query="x")["error_type"] == "Unhealthy"


def test_an_index_that_is_none_is_told_before_anything_is_served(folder: Path, tmp_path: Path, albert: Albert) -> None:
    for path in (tmp_path / "absent.db", folder, folder / "docs" / "faq.csv"):
        done = albert("serve", folder / "qa", "--index", path)
        assert done.returncode == 65
        assert done.stderr.startswith("error[bad-data]")


@pytest.mark.ci
def test_the_page_marks_the_answer_in_its_passage(running: Running) -> None:
    with launched() as browser, opened(browser, "http://{}:{}".format(*running.address), color_scheme="dark") as page:
        assert (
            page.get_by_role("tab").all_inner_texts()[:2] == ["Ask", "Find"]
            or page.get_by_role("tab", name="Ask").wait_for()
        )
        page.get_by_label("Question to the documents").fill("How can I reset the password?")
        mark = page.locator("mark").first
        mark.wait_for()
        assert mark.inner_text() == "Press <b>Reset</b> on the account page."
        page.get_by_role("tab", name="Ask", exact=True).focus()
        page.keyboard.press("ArrowRight")
        page.get_by_label("Looking for, in the documents").fill("unworn shoes")
        panel = page.locator("#panel-find")
        panel.locator(".passages").wait_for()
        assert "docs/returns.md:5" in panel.locator(".passages > li").first.inner_text()
        panel.get_by_text("Only files like").click()
        panel.get_by_label("Only files like").fill("docs/policies/*")
        panel.get_by_text("Nothing found").wait_for()
