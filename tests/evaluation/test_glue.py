"""GLUE's layout on small files of our own, its scores by hand, and the files for its site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from albert.data.examples import Example
from albert.errors import AlbertError
from albert.evaluation.glue import (
    GLUE,
    GlueTask,
    glue_average,
    glue_scores,
    glue_task,
    predict_glue,
    read_glue,
    split_file,
    write_submission,
)
from albert.tasks import TASKS

NLI_HEADER = "index\tpromptID\tpairID\tgenre\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2"
# task: file, its content, (text, pair, gold) of its first row
LABELLED: dict[str, tuple[str, str, tuple[str, str | None, str | float]]] = {
    "CoLA": ("CoLA/dev.tsv", "gj04\t0\t*\tThem saw us.\nbc01\t1\t\tThey saw us.\n", ("Them saw us.", None, "0")),
    "SST-2": ("SST-2/dev.tsv", "sentence\tlabel\na fine film \t1\n", ("a fine film ", None, "1")),
    "MRPC": (
        "MRPC/msr_paraphrase_train.txt",
        '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tHe "left.\tHe stayed.\n',
        ('He "left.', "He stayed.", "0"),
    ),
    "STS-B": (
        "STS-B/dev.tsv",
        "index\tgenre\tfilename\tyear\told_index\tsentence1\tsentence2\tscore\n0\tx\ty\t2012\t0\tA.\tB.\t3.750\n",
        ("A.", "B.", 3.75),
    ),
    "QQP": (
        "QQP/dev.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n7\t1\t2\tWhy?\tHow?\t0\n",
        ("Why?", "How?", "0"),
    ),
    "MNLI-m": (
        "MNLI/dev_matched.tsv",
        f"{NLI_HEADER}\tlabel1\tgold_label\n0\t1\t2\tfiction\t(A)\t(B)\tA.\tB.\tneutral\tcontradiction\n",
        ("A.", "B.", "contradiction"),
    ),
    "MNLI-mm": (
        "MNLI/dev_mismatched.tsv",
        f"{NLI_HEADER}\tlabel1\tgold_label\n0\t1\t2\tfiction\t(A)\t(B)\tA.\tB.\tneutral\tneutral\n",
        ("A.", "B.", "neutral"),
    ),
    "QNLI": (
        "QNLI/dev.tsv",
        "index\tquestion\tsentence\tlabel\n0\tWho?\tHe.\tnot_entailment\n",
        ("Who?", "He.", "not_entailment"),
    ),
    "RTE": ("RTE/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n", ("A.", "B.", "entailment")),
    "WNLI": ("WNLI/dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1\n", ("A.", "B.", "1")),
    "AX": (
        "diagnostic/diagnostic-full.tsv",
        "Lexical Semantics\tLogic\tDomain\tPremise\tHypothesis\tLabel\n\t\tNews\tA.\tB.\tneutral\n",
        ("A.", "B.", "neutral"),
    ),
}


def write(root: Path, file: str, content: str) -> Path:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("task", GLUE.values(), ids=GLUE)
def test_the_labelled_files_are_read(task: GlueTask, tmp_path: Path) -> None:
    file, content, first = LABELLED[task.name]
    path = write(tmp_path, file, content)
    split = "train" if task.name == "MRPC" else "dev"
    assert split_file(task, tmp_path, split) == split_file(task, path.parent, split) == path
    example = read_glue(task, path)[0]
    assert (example.text, example.text_pair, example.gold) == first
    assert task.family in TASKS


def test_every_real_file_is_read(shared_data: Path) -> None:
    root = shared_data / "tasks" / "glue"
    rows = {
        f"{task.name} {split}": len(read_glue(task, split_file(task, root, split)))
        for task in GLUE.values()
        for split in ("dev", "test")
        if any((root / folder / file).is_file() for folder in task.folders for file in getattr(task, split))
    }
    assert rows == {
        "CoLA dev": 1043, "CoLA test": 1063, "SST-2 dev": 872, "MRPC test": 1725, "STS-B dev": 1500, "STS-B test": 1379,
        "QNLI dev": 5463, "QNLI test": 5463, "RTE dev": 277, "RTE test": 3000, "WNLI dev": 71, "WNLI test": 146,
    }  # fmt: skip


def test_test_files_have_no_gold(tmp_path: Path) -> None:
    examples = read_glue(GLUE["CoLA"], write(tmp_path, "CoLA/test.tsv", "index\tsentence\n0\tBill left.\n"))
    assert [(example.text, example.gold) for example in examples] == [("Bill left.", None)]
    with pytest.raises(AlbertError, match="expected labelled examples"):
        glue_scores(GLUE["CoLA"], ["1"], [example.gold for example in examples])


def test_the_hubs_numbers_are_places_among_the_words(tmp_path: Path) -> None:
    content = "sentence1\tsentence2\tlabel\tidx\nA.\tB.\t1\t0\nA.\tC.\t0\t1\n"
    examples = read_glue(GLUE["RTE"], write(tmp_path, "RTE/dev.tsv", content))
    assert [example.gold for example in examples] == ["not_entailment", "entailment"]


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    rte = GLUE["RTE"]
    with pytest.raises(AlbertError, match=r"no dev file of RTE in .*expected .*RTE/dev\.tsv"):
        split_file(rte, tmp_path, "dev")
    with pytest.raises(AlbertError, match="columns of RTE: expected sentence1 or premise; sentence2 or hypothesis"):
        read_glue(rte, write(tmp_path, "a.tsv", "text\tlabel\nA.\t0\n"))
    with pytest.raises(AlbertError, match=r"b\.tsv:3: label 'maybe': expected entailment or not_entailment"):
        read_glue(rte, write(tmp_path, "b.tsv", "sentence1\tsentence2\tlabel\nA.\tB.\tentailment\nA.\tB.\tmaybe\n"))
    with pytest.raises(AlbertError, match=r"(?s)c\.tsv:2: label 5\.1: expected a number from 0 to 5.*:3: .*'high'"):
        read_glue(GLUE["STS-B"], write(tmp_path, "c.tsv", "sentence1\tsentence2\tscore\nA.\tB.\t5.1\nA.\tB.\thigh\n"))
    with pytest.raises(AlbertError, match="GLUE task 'MNLI': expected one of CoLA"):
        glue_task("MNLI")
    assert glue_task("sst-2") is GLUE["SST-2"]


def test_scores_by_hand() -> None:
    gold = ["1", "1", "1", "0"]
    assert glue_scores(GLUE["MRPC"], ["1", "1", "0", "1"], gold) == pytest.approx({"accuracy": 0.5, "f1": 2 / 3})
    assert glue_scores(GLUE["CoLA"], ["1", "1", "1", "0"], gold) == {"mcc": 1.0}
    assert glue_scores(GLUE["RTE"], ["entailment"], ["not_entailment"]) == {"accuracy": 0.0}
    assert glue_scores(GLUE["STS-B"], [1.0, 2.0, 3.0], [2.0, 4.0, 6.0]) == pytest.approx({"pearson": 1, "spearman": 1})
    nli = ["entailment", "neutral", "contradiction"]
    assert glue_scores(GLUE["AX"], nli, nli) == {"mcc": 1.0}


def test_the_average_is_that_of_the_leaderboard() -> None:
    """The row of BERT-large, whose average is given as 80.5."""
    scores = {
        "CoLA": {"mcc": 60.5}, "SST-2": {"accuracy": 94.9}, "MRPC": {"f1": 89.3, "accuracy": 85.4},
        "STS-B": {"pearson": 87.6, "spearman": 86.5}, "QQP": {"f1": 72.1, "accuracy": 89.3},
        "MNLI-m": {"accuracy": 86.7}, "MNLI-mm": {"accuracy": 85.9}, "QNLI": {"accuracy": 92.7},
        "RTE": {"accuracy": 70.1}, "WNLI": {"accuracy": 65.1}, "AX": {"mcc": 39.6},
    }  # fmt: skip
    assert glue_average(scores) == pytest.approx(80.5, abs=0.05)
    with pytest.raises(ValueError, match="at least one task"):
        glue_average({"AX": {"mcc": 39.6}})


def test_predictions_come_from_any_model_with_the_right_labels(tmp_path: Path) -> None:
    examples = read_glue(GLUE["RTE"], write(tmp_path, *LABELLED["RTE"][:2]))

    def says(label: str) -> Any:
        return lambda inputs: [[{"label": label, "score": 0.9}, {"label": "x", "score": 0.1}] for _ in inputs]

    assert predict_glue(GLUE["RTE"], examples, says("not_entailment")) == ["not_entailment"]
    assert predict_glue(GLUE["RTE"], examples, says("0")) == ["entailment"]
    assert predict_glue(GLUE["STS-B"], examples, lambda inputs: [[{"label": "score", "score": 0.9}]]) == [0.9]
    with pytest.raises(AlbertError, match="STS-B: scores: expected a model that gives a number, got one of the labels"):
        predict_glue(GLUE["STS-B"], examples, says("score"))
    with pytest.raises(AlbertError, match="RTE: the model says label 'spam'"):
        predict_glue(GLUE["RTE"], examples, says("spam"))


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("RTE", ["LABEL_0", "LABEL_1"]), ("RTE", ["0", "1"]), ("RTE", ["ENTAILMENT", "NOT_ENTAILMENT"]),
        ("QNLI", ["label_0", "label_1"]), ("MNLI-m", ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ("MNLI-mm", ["Entailment", "NEUTRAL", "contradiction"]), ("SST-2", ["NEGATIVE", "POSITIVE"]),
        ("SST-2", ["LABEL_0", "LABEL_1"]), ("CoLA", ["unacceptable", "acceptable"]),
        ("MRPC", ["not_equivalent", "equivalent"]), ("QQP", ["not_duplicate", "duplicate"]),
        ("WNLI", ["not_entailment", "entailment"]), ("AX", ["LABEL_0", "LABEL_1", "LABEL_2"]),
    ],
)  # fmt: skip
def test_labels_of_published_models_are_read_in_the_order_of_glue(name: str, labels: list[str]) -> None:
    task = GLUE[name]
    for place, label in enumerate(labels):
        others = [{"label": other, "score": 0.1} for other in labels if other != label]
        row = [{"label": label, "score": 0.9}, *others]
        assert predict_glue(task, [Example("a")], lambda _, row=row: [row]) == [task.labels[place]]  # type: ignore[misc]
    told = task.order(labels)
    assert (told is not None) == labels[0].lower().startswith("label_")
    assert told is None or told.endswith(", ".join(task.names or task.labels))


def test_as_many_labels_as_the_task_has() -> None:
    rows = [[{"label": f"LABEL_{at}", "score": 0.5} for at in range(3)]]
    with pytest.raises(AlbertError, match="RTE: the model says label 'LABEL_0'"):
        predict_glue(GLUE["RTE"], [Example("a")], lambda _: rows)
    with pytest.raises(AlbertError, match="the model says label 'LABEL_0'"):
        predict_glue(GLUE["MNLI-m"], [Example("a")], lambda _: [rows[0][:2]])


def test_submissions_are_as_the_site_takes_them(tmp_path: Path) -> None:
    written = {name: write_submission(task, [4.0] if name == "STS-B" else [task.labels[0]], tmp_path / "out")
               for name, task in GLUE.items()}  # fmt: skip
    assert sorted(path.name for path in written.values()) == sorted(
        ["CoLA.tsv", "SST-2.tsv", "MRPC.tsv", "STS-B.tsv", "QQP.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "QNLI.tsv",
         "RTE.tsv", "WNLI.tsv", "AX.tsv"]
    )  # fmt: skip
    assert written["QNLI"].read_text() == "index\tprediction\n0\tentailment\n"
    similarities = write_submission(GLUE["STS-B"], [-0.3, 5.2, 2.34567], tmp_path)
    assert similarities.read_text() == "index\tprediction\n0\t0.000\n1\t5.000\n2\t2.346\n"
