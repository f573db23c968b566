"""The public task sets, and how a model learns each: the rows behind `recipes/results.py`.

If the parts of a set are not ready for `albert train`, they are made in a working folder by a rule given here.
"""

from __future__ import annotations

import csv
import io
import json
import lzma
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from albert.data.documents import document_rows
from albert.data.reading import DataSource
from albert.finetuning.dataset import FinetuneConfig

_CHOSEN = ("metric", "fallback")  # the options that are not about data


@dataclass(frozen=True)
class Files:
    """The parts of a task set. The test part is the dev part if the test labels are not public."""

    train: Path
    dev: Path
    test: Path


@dataclass(frozen=True)
class TaskSet:
    """How a set is read and learned, and what is known about it.

    `files` gives its parts, from the folder of the task sets and a working folder. `lr` is for the starter,
    `scratch_lr` for the same network without pre-training. `average` is the share of the run over which weights are
    averaged. `start` names another set whose model of the same seed is the start, instead of the starter. `label` is
    one whose own scores are reported, too. `published` is albert-base-v2's figure on the same data.
    """

    files: Callable[[Path, Path], Files]
    metric: str
    epochs: float
    options: dict[str, Any] = field(default_factory=dict)
    lr: float = 1.5e-4
    scratch_lr: float = 1e-3
    average: float = 0.0
    seeds: int = 3
    published: str = ""
    start: str = ""
    label: str = ""
    note: str = ""

    def source(self, path: Path) -> DataSource:
        """A file of the set, read with those of the options that are about data."""
        return DataSource(str(path), **{name: value for name, value in self.options.items() if name not in _CHOSEN})

    def rows(self, path: Path) -> tuple[str, list[str]]:
        """The beginning of a file of the set (its header, if any), and its rows as they stand: lines, CSV records, or
        blocks between empty lines.
        """
        text = path.read_text(encoding="utf-8-sig")
        match path.suffix:
            case ".tsv" | ".jsonl":
                found = [line + "\n" for line in text.split("\n") if line]
            case ".csv":
                found = []
                for record in csv.reader(io.StringIO(text, newline="")):
                    line = io.StringIO(newline="")
                    csv.writer(line).writerow(record)
                    found.append(line.getvalue())
            case ".conll" | ".txt":
                found = [block.strip("\n") + "\n\n" for block in text.split("\n\n") if block.strip()]
            case other:
                raise SystemExit(f"{path}: {other} cannot be divided by rows")
        numbered = any(str(self.options.get(column, "")).isdigit() for column in ("text", "label"))
        header = path.suffix in (".tsv", ".csv") and not numbered
        return (found[0], found[1:]) if header else ("", found)

    def chosen(self) -> dict[str, Any]:
        """The options of training."""
        return {name: value for name, value in self.options.items() if name in _CHOSEN}

    def training(self, files: Files, out: Path, seed: int, settings: dict[str, Any], **options: Any) -> FinetuneConfig:
        """How the set is learned, with the set's own epochs, rate and averaging unless `settings` has others."""
        usual = {
            "epochs": float(self.epochs), "batch_size": 32, "patience": 0, "lr": self.lr, "average": self.average,
        }  # fmt: skip
        return FinetuneConfig(
            train=self.source(files.train), dev=str(files.dev), out=out, settings={"seed": seed, **usual, **settings},
            **self.chosen(), **options,
        )  # fmt: skip


def model_name(name: str, seed: int = 0) -> str:
    """The folder that `results.py` gives a set's model of this seed."""
    return f"{name}-model{f'-{seed}' if seed else ''}"


# --- making parts ----------------------------------------------------------------------------------------


def as_is(folder: str, train: str, dev: str, test: str) -> Callable[[Path, Path], Files]:
    """A set whose parts are used as they are."""
    return lambda tasks, work: Files(*(tasks / folder / part for part in (train, dev, test)))


def glue(name: str) -> Callable[[Path, Path], Files]:
    """A GLUE task as it is, scored on dev."""
    return as_is(f"glue/{name}", "train.tsv", "dev.tsv", "dev.tsv")


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """A JSONL file, written once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        part.replace(path)
    return path


def divided(rows: list[dict[str, Any]], held: int, work: Path, name: str) -> tuple[Path, Path]:
    """(the others, `held` of the rows), drawn by seed 0."""
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    parts = [rows[i] for i in sorted(order[held:])], [rows[i] for i in sorted(order[:held])]
    return write_rows(work / f"{name}-train.jsonl", parts[0]), write_rows(work / f"{name}-dev.jsonl", parts[1])


def tsv(path: Path) -> list[dict[str, str]]:
    """The rows of a TSV file with a header, cells never quoted."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    names = lines[0].split("\t")
    return [dict(zip(names, line.split("\t"), strict=False)) for line in lines[1:]]


def jsonl_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl or .jsonl.xz."""
    with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def mrpc(tasks: Path, work: Path) -> Files:
    """408 training pairs held out as dev; the original test part has labels."""
    folder = tasks / "glue" / "MRPC"
    names = {"#1 String": "sentence1", "#2 String": "sentence2", "Quality": "label"}

    def rows(path: Path) -> list[dict[str, Any]]:
        return [{new: row[old] for old, new in names.items()} for row in tsv(path)]

    train, dev = divided(rows(folder / "msr_paraphrase_train.txt"), 408, work, "mrpc")
    return Files(train, dev, write_rows(work / "mrpc-test.jsonl", rows(folder / "msr_paraphrase_test.txt")))


def qqp(tasks: Path, work: Path) -> Files:
    """The available part of QQP, with 2,000 pairs each for dev and test."""
    rows = [
        {"question1": row["question1"], "question2": row["question2"], "label": row["is_duplicate"]}
        for row in tsv(tasks / "glue" / "QQP" / "qqp_part.tsv")
        if row.get("is_duplicate") in ("0", "1")
    ]
    rest, test = divided(rows, 2000, work, "qqp-rest")
    train, dev = divided(jsonl_rows(rest), 2000, work, "qqp")
    return Files(train, dev, test)


def shared_words(one: str, other: str) -> int:
    """How many words two texts have in common."""
    return len(set(re.findall(r"\w+", one.lower())) & set(re.findall(r"\w+", other.lower())))


def qnli(tasks: Path, work: Path) -> Files:
    """Training pairs of QNLI's form from SQuAD's training part: does the sentence contain the answer?

    For each question, one sentence that contains its answer and one of the same paragraph that does not: of two drawn,
    the one with more of the question's words, as GLUE left out those with few. 100,000 pairs.
    """
    rng = random.Random(0)

    def pairs() -> Iterable[dict[str, Any]]:
        for row in document_rows(str(tasks / "squad" / "train-v1.1.json"), encoding="utf-8"):
            start = row["answers"][0]["answer_start"]
            spans = [match.span() for match in re.finditer(r"\S.*?(?:[.!?](?=\s)|$)", row["context"], re.DOTALL)]
            own = [row["context"][a:b] for a, b in spans if a <= start < b]
            others = [row["context"][a:b] for a, b in spans if not a <= start < b]
            if own and others:
                two = rng.sample(others, min(2, len(others)))
                other = max(two, key=lambda sentence: shared_words(row["question"], sentence))
                yield {"question": row["question"], "sentence": own[0], "label": "entailment"}
                yield {"question": row["question"], "sentence": other, "label": "not_entailment"}

    found = list(pairs())
    rng.shuffle(found)
    folder = tasks / "glue" / "QNLI"
    return Files(write_rows(work / "qnli-train.jsonl", found[:100_000]), folder / "dev.tsv", folder / "dev.tsv")


# Articles of SQuAD's dev parts that the starter read in pre-training, among its Wikipedia articles.
READ_BEFORE = {
    "Amazon_rainforest", "Black_Death", "Construction", "Force", "Genghis_Khan", "Geology", "Immune_system",
    "Imperialism", "Kenya", "Martin_Luther", "Nikola_Tesla", "Oxygen", "Prime_number", "Steam_engine", "Warsaw",
}  # fmt: skip


def read_before(title: str) -> bool:
    """Whether the starter read this article of SQuAD's dev parts."""
    return title.replace(" ", "_") in READ_BEFORE


def squad1(tasks: Path, work: Path) -> Files:
    """SQuAD 1.1; 1,000 training questions of other articles are held out as dev.

    Tested on the dev part without the articles in `READ_BEFORE`.
    """
    train, held = squad_training(tasks)
    random.Random(1).shuffle(held)
    return Files(
        write_rows(work / "squad1.1-train.jsonl", train),
        write_rows(work / "squad1.1-dev.jsonl", held[:1000]),
        write_rows(work / "squad1.1-test.jsonl", squad_test(tasks, "1.1")[0]),
    )


def squad2(tasks: Path, work: Path) -> Files:
    """SQuAD 2.0's form, whose training part is not at hand. Tested as SQuAD 1.1 is.

    It is learned from `written_questions` and from 6,000 questions of SQuAD 1.1's training part, a third of them moved
    to another paragraph of their article that does not contain the text of their answer.
    """
    written, dev = written_questions(tasks)
    made = random.Random(2).sample(with_unanswerable(squad_training(tasks)[0]), 6000)
    return Files(
        write_rows(work / "squad2.0-train.jsonl", written + made),
        write_rows(work / "squad2.0-dev.jsonl", dev),
        write_rows(work / "squad2.0-test.jsonl", squad_test(tasks, "2.0")[0]),
    )


def written_questions(tasks: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Questions that people wrote, half of them to have no answer: those of SQuAD 2.0's dev part that nothing is scored
    on, because the starter read their articles. The second list is of three articles.
    """
    rows = squad_test(tasks, "2.0")[1]
    held = set(random.Random(0).sample(sorted({row["title"] for row in rows}), 3))
    return [row for row in rows if row["title"] not in held], [row for row in rows if row["title"] in held]


def squad_training(tasks: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The questions of SQuAD 1.1's training part, and those of 20 articles that are held out."""
    rows = document_rows(str(tasks / "squad" / "train-v1.1.json"), encoding="utf-8")
    titles = sorted({row["title"] for row in rows})
    random.Random(0).shuffle(titles)
    held = set(titles[:20])
    return [row for row in rows if row["title"] not in held], [row for row in rows if row["title"] in held]


def squad_test(tasks: Path, version: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The questions of the dev part, and those of its articles in `READ_BEFORE`."""
    rows = document_rows(str(tasks / "squad" / f"dev-v{version}.json"), encoding="utf-8")
    parts: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for row in rows:
        parts[read_before(row["title"])].append(row)
    return parts[False], parts[True]


def with_unanswerable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every third question is moved to another paragraph of its article, where it has no answer."""
    rng = random.Random(0)
    contexts: dict[str, list[str]] = {}
    for row in rows:
        contexts.setdefault(row["title"], [])
        if row["context"] not in contexts[row["title"]][-1:]:
            contexts[row["title"]].append(row["context"])
    made = []
    for number, row in enumerate(rows):
        if number % 3 == 0:
            answer = row["answers"][0]["text"].lower()
            others = [c for c in contexts[row["title"]] if c != row["context"] and answer not in c.lower()]
            if others:
                row = {**row, "context": rng.choice(others), "answers": []}
        made.append(row)
    return made


def wikiann(tasks: Path, work: Path) -> Files:
    """The words without their language prefix."""

    def part(name: str) -> Path:
        path = work / f"wikiann-{name}.conll"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (tasks / "wikiann_en" / name).read_text(encoding="utf-8")
            path.write_text(re.sub(r"(?m)^en:", "", text), encoding="utf-8")
        return path

    return Files(part("train"), part("dev"), part("test"))


def clinc(tasks: Path, work: Path) -> Files:
    """150 intents and "oos", out of scope, as the 151st."""
    parts = json.loads((tasks / "clinc150" / "data_full.json").read_text(encoding="utf-8"))

    def part(name: str, *keys: str) -> Path:
        rows = ({"text": text, "label": label} for key in keys for text, label in parts[key])
        return write_rows(work / f"clinc-{name}.jsonl", rows)

    return Files(
        part("train", "train", "oos_train"), part("dev", "val", "oos_val"), part("test", "test", "oos_test")
    )  # fmt: skip


def hate(tasks: Path, work: Path) -> Files:
    """A tenth each for dev and test."""
    with (tasks / "davidson_hate" / "labeled_data.csv").open(encoding="utf-8", newline="") as file:
        names = {"0": "hate", "1": "offensive", "2": "neither"}
        rows = [{"text": row["tweet"], "label": names[row["class"]]} for row in csv.DictReader(file)]
    rest, test = divided(rows, 2478, work, "hate-rest")
    train, dev = divided(jsonl_rows(rest), 2478, work, "hate")
    return Files(train, dev, test)


def ag_news(tasks: Path, work: Path) -> Files:
    """Descriptions, as the training part has no titles; 1,000 of its 10,000 rows for dev."""
    words = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
    lines = (tasks / "ag_news" / "dev_from_train.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(("text", "label"), line.rsplit("\t", 1), strict=True)) for line in lines if "\t" in line]
    train, dev = divided(rows, 1000, work, "ag")
    with (tasks / "ag_news" / "test.csv").open(encoding="utf-8", newline="") as file:
        test = [{"text": row[2], "label": words[row[0]]} for row in csv.reader(file)]
    return Files(train, dev, write_rows(work / "ag-test.jsonl", test))


def imdb(tasks: Path, work: Path) -> Files:
    """2,000 training reviews for dev."""
    names = ("negative", "positive")
    train, test = (
        [{"text": row["text"], "label": names[row["label"]]} for row in jsonl_rows(tasks / "imdb" / f"{part}.jsonl.xz")]
        for part in ("train", "test")
    )
    first, dev = divided(train, 2000, work, "imdb")
    return Files(first, dev, write_rows(work / "imdb-test.jsonl", test))


def newsgroups(tasks: Path, work: Path) -> Files:
    """Bodies only, parted by date; 1,000 of the training rows for dev."""
    train, test = (jsonl_rows(tasks / "20ng" / f"{part}.jsonl.xz") for part in ("train", "test"))
    return Files(*divided(train, 1000, work, "20ng"), write_rows(work / "20ng-test.jsonl", test))


def hyperpartisan(fold: int) -> Callable[[Path, Path], Files]:
    """One of ten folds, drawn by seed 0, is the test part, and the next one is dev."""

    def files(tasks: Path, work: Path) -> Files:
        rows = jsonl_rows(tasks / "hyperpartisan" / "articles.jsonl.xz")
        random.Random(0).shuffle(rows)
        folds = [rows[n::10] for n in range(10)]
        test, dev = folds[fold], folds[(fold + 1) % 10]
        parts = {"train": [row for row in rows if row not in test and row not in dev], "dev": dev, "test": test}
        return Files(*(write_rows(work / f"hyperpartisan-{fold}-{name}.jsonl", part) for name, part in parts.items()))

    return files


def medquad(tasks: Path, work: Path) -> Files:
    """Questions and answers, 1,000 each for dev and test."""
    rows = [
        {"question": row["question"], "answer": row["answer"]} for row in jsonl_rows(tasks / "medquad" / "qa.jsonl.xz")
    ]
    rest, test = divided(rows, 1000, work, "medquad-rest")
    train, dev = divided(jsonl_rows(rest), 1000, work, "medquad")
    return Files(train, dev, test)


# --- the sets --------------------------------------------------------------------------------------------

_PAIR = {"text": "sentence1", "text_pair": "sentence2"}
SETS: dict[str, TaskSet] = {
    "SST-2": TaskSet(glue("SST-2"), "accuracy", 2, published="0.929"),
    "CoLA": TaskSet(glue("CoLA"), "mcc", 5, {"text": "4", "label": "2", "metric": "mcc"}, lr=1e-4),
    "RTE": TaskSet(glue("RTE"), "accuracy", 6, {**_PAIR, "label": "label"}),
    "WNLI": TaskSet(glue("WNLI"), "accuracy", 6, {**_PAIR, "label": "label"}),
    "STS-B": TaskSet(glue("STS-B"), "correlation", 4, {"task": "similarity", **_PAIR, "label": "score"},
                      note="compared by their embeddings"),
    "MRPC": TaskSet(mrpc, "f1", 6, {**_PAIR, "label": "label"}, note="408 training pairs held out as dev"),
    "QNLI form": TaskSet(qnli, "accuracy", 1, {"text": "question", "text_pair": "sentence", "label": "label"},
                         note="training pairs made from SQuAD"),
    "QQP part": TaskSet(qqp, "f1", 3, {"text": "question1", "text_pair": "question2", "label": "label"}),
    "SQuAD 1.1": TaskSet(squad1, "f1", 1, {"task": "qa"}, published="0.902"),
    "SQuAD 2.0 form": TaskSet(squad2, "f1", 2, {"task": "qa"}, lr=1e-4, start="SQuAD 1.1",
                              note="after SQuAD 1.1; people's questions of 12 articles"),
    "WNUT-17": TaskSet(as_is("wnut17", "wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"), "f1", 15,
                       average=0.5),
    "WikiANN": TaskSet(wikiann, "f1", 4),
    "CLINC150": TaskSet(clinc, "accuracy", 8, {"fallback": "oos"}, lr=3e-4, label="oos",
                        note="151 classes, out of scope among them"),
    "Hate speech": TaskSet(hate, "macro_f1", 3, {"metric": "macro_f1"}),
    "AG News": TaskSet(ag_news, "accuracy", 4, scratch_lr=5e-4),
    "IMDB": TaskSet(imdb, "accuracy", 1, {"stride": 0}, note="windows of 128 pieces, all read"),
    "DREAM": TaskSet(as_is("dream", "train.json", "dev.json", "test.json"), "accuracy", 3, seeds=1),
    "TREC-QA": TaskSet(as_is("trec_qa", "train.csv", "dev.csv", "test.csv"), "map", 4,
                       {"text": "qtext", "text_pair": "atext", "label": "label"}),
    "RTE after QNLI form": TaskSet(glue("RTE"), "accuracy", 6, {**_PAIR, "label": "label"}, start="QNLI form"),
    "MRPC after QQP part": TaskSet(mrpc, "f1", 6, {**_PAIR, "label": "label"}, start="QQP part"),
    "TREC-QA after QNLI form": TaskSet(as_is("trec_qa", "train.csv", "dev.csv", "test.csv"), "map", 4,
                                       {"text": "qtext", "text_pair": "atext", "label": "label"}, start="QNLI form"),
    "DREAM after SQuAD 1.1": TaskSet(as_is("dream", "train.json", "dev.json", "test.json"), "accuracy", 3, lr=1e-4,
                                     start="SQuAD 1.1"),
    "MedQuAD": TaskSet(medquad, "mrr", 4, {"task": "retrieval", "text": "question", "label": "answer"}, seeds=1),
}  # fmt: skip
