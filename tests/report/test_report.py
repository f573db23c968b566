"""Every family's report builds, says what the scores say, and lets no text out of its place."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

import albert
from albert.data.examples import Example
from albert.data.reading import DataSource
from albert.errors import AlbertError
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.pretraining.curves import draw_curves
from albert.report import Facts, write_report
from albert.storage.stored import read_records
from albert.tasks import TASKS
from albert.tasks.base import Output
from albert.tasks.calibration import calibration_error
from albert.tasks.review import NONE, Review, Verdict
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert, write_reviews
from reports import facts_of

pytestmark = pytest.mark.ci  # minutes altogether

VOID = {"meta", "link", "br", "hr", "img", "input"}
QUICK = {"epochs": 2.0, "batch_size": 16, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}


class Page(HTMLParser):
    """A page's tags, and its text by what a reader sees; raises where tags are not closed in order."""

    facts: Facts

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, name: str) -> list[str]:
        """All values of an attribute."""
        return [value or "" for _, attributes in self.tags for key, value in attributes.items() if key == name]


@pytest.fixture
def page(made: tuple[Facts, Path]) -> Page:
    page = Page(made[1].read_text(encoding="utf-8"))
    page.facts = made[0]
    return page


def test_hostile_texts_stay_texts(page: Page) -> None:
    tags = Counter(tag for tag, _ in page.tags)
    assert tags["script"] == tags["img"] == 0
    assert "<script>alert(1)</script>" in page.text
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]


def test_nothing_is_fetched(page: Page) -> None:
    links = [*page.all("href"), *page.all("src"), *page.all("xlink:href")]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    policy = next(value for value in page.all("content") if "default-src" in value)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_references_find_one_place_each(page: Page) -> None:
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    wanted = [link for link in page.all("href") if link.startswith("#")]
    wanted += [re.sub(r"url\((.*)\)", r"\1", value) for value in page.all("clip-path")]
    assert {target.removeprefix("#") for target in wanted} <= set(ids)


def test_pictures_have_words(page: Page) -> None:
    pictures = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("role") == "img"]
    assert len(pictures) >= 4
    assert all(attributes["aria-label"] for attributes in pictures)
    assert len([tag for tag, _ in page.tags if tag == "figcaption"]) == len(pictures)


@pytest.mark.parametrize("name", TASKS)
def test_a_review_measures_what_the_score_measures(name: str, tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    facts = facts_of(name, tokenizer, tmp_path)
    task, outputs = facts.task, facts.outputs
    review = task.review(outputs, facts.labels, facts.thresholds)
    assert review.score(np.arange(len(outputs))) == pytest.approx(facts.scores[task.metric], abs=1e-9)
    assert [verdict.example for verdict in review.verdicts] == [output.example for output in outputs]
    half = np.arange(0, len(outputs), 2)
    if name != "retrieval":  # whose candidates are all second texts
        part = task.score([outputs[i] for i in half], facts.labels, facts.thresholds)
        assert review.score(half) == pytest.approx(part[task.metric], abs=1e-6)
    worst = review.worst(20)
    assert worst
    assert [verdict.error for verdict in worst] == sorted((verdict.error for verdict in worst), reverse=True)


def test_the_page_shows_the_scores(page: Page) -> None:
    for score, value in page.facts.scores.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        assert f"{score} {shown}" in page.text
    assert f"{page.facts.baseline[1]:.4f}" in page.text


def test_the_same_facts_give_the_same_page(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    facts = facts_of("ner", tokenizer, tmp_path)
    for name in ("one.html", "two.html"):
        write_report(tmp_path / name, facts)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_labels_and_calibration_are_as_scikit_learn_and_guo_count_them(
    tokenizer: AlbertTokenizer, tmp_path: Path
) -> None:
    facts = facts_of("classification", tokenizer, tmp_path)
    review = facts.task.review(facts.outputs, facts.labels)
    gold, said = [v.gold for v in review.verdicts], [v.said for v in review.verdicts]
    expected = precision_recall_fscore_support(gold, said, labels=list(facts.labels), zero_division=0)
    found = [(score.precision, score.recall, score.f1, score.support) for score in review.labels]
    np.testing.assert_allclose(np.asarray(found).T, np.stack(expected))
    assert review.probabilities is not None
    assert review.gold is not None
    write_report(tmp_path / "report.html", facts)
    error = calibration_error(review.probabilities, review.gold)
    assert f"(15 bins) {error:.4f}" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_entities_are_counted_by_place_and_type() -> None:
    text = "Ann met Bob in Rome"
    example = Example(text, gold=TASKS["ner"].parse_gold([[0, 3, "PER"], [8, 11, "PER"], [15, 19, "LOC"]]))
    labels = ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")
    offsets = np.asarray([(0, 0), (0, 3), (4, 7), (8, 11), (12, 14), (15, 19), (0, 0)])
    said = ["O", "B-PER", "B-PER", "O", "O", "B-PER", "O"]
    logits = np.asarray([[10.0 * (label == tag) for label in labels] for tag in said])
    review = TASKS["ner"].review([Output(example, [logits], [offsets])], labels)
    assert review.confusions == {("PER", "PER"): 1, (NONE, "PER"): 1, ("PER", NONE): 1, ("LOC", "PER"): 1}
    scores = {score.label: (score.precision, score.recall, score.support) for score in review.labels}
    assert scores == {"LOC": (0, 0, 1), "PER": (pytest.approx(1 / 3), 0.5, 2)}
    assert review.verdicts[0].error == 4  # Bob and Rome missed, met and Rome invented
    assert review.score(np.arange(1)) == pytest.approx(2 * 1 / (3 + 3))


def test_the_worst_are_the_greatest_errors_and_of_equal_ones_the_surest() -> None:
    verdicts = [
        Verdict(Example(name), "a", "b", error, confidence)
        for name, error, confidence in [
            ("right", 0.0, 0.99),
            ("sure", 1.0, 0.9),
            ("unsure", 1.0, 0.4),
            ("twice", 2.0, 0.1),
        ]
    ]
    review = Review(verdicts, "", lambda chosen: 0.0)
    assert [verdict.example.text for verdict in review.worst(3)] == ["twice", "sure", "unsure"]


def test_many_labels_are_cut_short(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    facts = facts_of("classification", tokenizer, tmp_path)
    labels = tuple(f"label {number}" for number in range(200))
    rng = np.random.default_rng(0)
    outputs = [
        Output(Example(f"text {i}", gold=labels[i % 200], source=f"f:{i}"), [rng.normal(size=200)]) for i in range(300)
    ]
    scores = facts.task.score(outputs, labels)
    write_report(tmp_path / "report.html", facts_of("classification", tokenizer, tmp_path, labels=labels,
                                                   outputs=outputs, scores=scores))  # fmt: skip
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The 40 labels of 200" in html
    assert "Confusion matrix" not in html
    assert len(html) < 300_000


def test_data_that_is_large_or_gone_is_not_checked(
    tokenizer: AlbertTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(
        tmp_path / "a.html", facts_of("classification", tokenizer, tmp_path, sources=(DataSource("/no/such.csv"),))
    )
    assert "such.csv cannot be read again" in (tmp_path / "a.html").read_text(encoding="utf-8")
    monkeypatch.setattr("albert.report.sections._AUDITED", 10)
    write_report(tmp_path / "b.html", facts_of("classification", tokenizer, tmp_path))
    assert "Not checked here, to save time" in (tmp_path / "b.html").read_text(encoding="utf-8")


# --- where reports come from -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    data = write_reviews(folder / "reviews.csv")
    albert.train(data, out=folder / "out", size="tiny", settings=QUICK, quiet=True)
    return folder


def test_training_leaves_a_report(run: Path) -> None:
    text = Page((run / "out" / "report.html").read_text(encoding="utf-8")).text
    dev = [record["dev"] for _, record in read_records(run / "out" / "metrics.jsonl") if "dev" in record]
    best = max(scores["accuracy"] for scores in dev)
    assert f"accuracy {best:.4f}" in text
    assert "Learning curves" in text
    assert "held out of the training data" in text
    assert re.search(r"seed 0\b", text)
    assert re.search(r"hidden_size 32\b", text)


def test_an_evaluation_is_saved_as_a_report(run: Path, albert: Albert) -> None:
    test = write_reviews(run / "test.csv", rows=40, seed=3)
    done = albert("evaluate", run / "out", test, "--report", run / "test.html", "--json")
    assert done.returncode == 0, done.stderr
    assert f"report -> {run / 'test.html'}" in done.stderr
    text = Page((run / "test.html").read_text(encoding="utf-8")).text
    assert "on 40 examples" in text
    assert "test.csv" in text


def test_an_evaluation_is_saved_as_json_and_written_as_a_page(run: Path) -> None:
    evaluation = albert.load(run / "out").evaluate(run / "reviews.csv")
    write_report(run / "scores.html", evaluation.facts)
    evaluation.save(run / "scores.json")
    with pytest.raises(AlbertError, match=r"no\.html: expected a name for JSON.*write_report"):
        evaluation.save(run / "no.html")
    assert not (run / "no.html").exists()
    assert (run / "scores.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "facts" not in (run / "scores.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_without_the_extra_there_is_a_hint(run: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    evaluation = albert.load(run / "out").evaluate(run / "reviews.csv")
    with pytest.raises(AlbertError, match=rf"needs {module}.*pip install '\.\[report\]'"):
        write_report(run / "none.html", evaluation.facts)
    assert not (run / "none.html").exists()


@pytest.mark.parametrize("fault", [AlbertError, RuntimeError, None])
def test_a_report_that_fails_does_not_fail_the_run(
    fault: type[Exception] | None, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from albert.errors import ErrorKind
    from albert.training.progress import ConsoleProgress

    said: list[str] = []
    progress = ConsoleProgress(quiet=True)
    monkeypatch.setattr(progress, "on_message", said.append)
    if fault is None:
        monkeypatch.setitem(sys.modules, "jinja2", None)
    else:
        error = AlbertError(ErrorKind.DISK, "no room") if fault is AlbertError else RuntimeError("no luck")

        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr("albert.finetuning.report.write_report", fail)
    config = FinetuneConfig(
        train=DataSource(str(reviews)), out=tmp_path / "out", size="tiny", settings={**QUICK, "epochs": 1.0}
    )
    finetune(config, progress=progress)
    assert said[-1].startswith("no report: ")
    assert fault is not None or "pip install" in said[-1]
    albert.load(tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()


def test_the_curves_of_a_run_are_a_picture(tmp_path: Path) -> None:
    records = [{"step": step, "loss": 5 - step / 10} for step in range(20)]
    lines = [json.dumps(record) for record in [*records, {"step": 20, "dev": {"loss": 3.0, "accuracy": 0.5}}]]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    picture = draw_curves(tmp_path / "metrics.jsonl")
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
