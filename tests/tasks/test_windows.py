"""Long texts as windows: nothing lost, nothing twice, and one answer an example."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albert.data.batches import IGNORED
from albert.data.examples import Example
from albert.data.spans import Span
from albert.errors import AlbertError, ErrorKind
from albert.tasks import TASKS, DecodeOptions, Lengths
from albert.tasks.base import Output
from albert.tasks.windows import stitch
from albert.text.tokenizer import AlbertTokenizer

TOKENIZER = AlbertTokenizer.english()
LABELS = ("O", "B-LOC", "I-LOC")


@given(st.integers(1, 60), st.integers(6, 20), st.integers(0, 3))
def test_every_piece_is_judged_once_and_far_from_its_window_s_edges(words: int, limit: int, stride: int) -> None:
    text = " ".join(f"w{i}" for i in range(words))
    [windows] = TOKENIZER.windows([text], max_length=limit, stride=stride)
    offsets = [np.asarray(window.offsets) for window in windows]
    stitched = stitch(offsets)
    assert stitched.join(offsets).tolist() == TOKENIZER.pieces([text])[0].offsets.tolist()
    for number, (kept, window) in enumerate(zip(stitched.kept, windows, strict=True)):
        assert number == 0 or kept[0] == 1 + stride // 2
        assert number == len(windows) - 1 or kept[-1] == len(window) - 2 - (stride - stride // 2)


def test_entities_anywhere_in_a_long_text_are_learned_and_found() -> None:
    text = "we went to paris and then " * 30 + "home"
    at = [i for i in range(len(text)) if text.startswith("paris", i)]
    example = Example(text, gold=tuple(Span(i, i + 5, "LOC") for i in at))
    ner = TASKS["ner"]
    features, cut = ner.features(TOKENIZER, [example], Lengths(max_length=24, stride=8))
    assert len(features) > 5
    assert cut == 0
    assert ner.remarks([example], features) == []
    gold = ner.targets([example], features, LABELS)
    assert isinstance(gold, list)
    assert sum(int((row == LABELS.index("B-LOC")).sum()) for row in gold) == len(at)
    logits = [np.eye(3, dtype=np.float32)[np.where(row == IGNORED, 0, row)] * 9 for row in gold]
    [output] = Output.each([example], features, logits)
    found = ner.decode(output, LABELS, DecodeOptions())
    assert [(entity["start"], entity["word"]) for entity in found] == [(i, "paris") for i in at]
    assert ner.score([output], LABELS)["f1"] == 1.0


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_a_long_text_s_windows_have_the_same_say(name: str) -> None:
    task = TASKS[name]
    gold = [task.parse_gold(value) for value in ("1.5", "2.5", "3.5")]
    examples = [Example("short", gold=gold[0]), Example("word " * 100, gold=gold[1]), Example("brief", gold=gold[2])]
    labels = task.labels(examples, column="label")
    features, cut = task.features(TOKENIZER, examples, Lengths(max_length=32, stride=4))
    rows = len(features) - 2
    assert (cut, features.owners.tolist()) == (0, [0, *[1] * rows, 2])
    targets = np.asarray(task.targets(examples, features, labels))
    assert targets[1 : 1 + rows].tolist() == [targets[1]] * rows
    logits = list(np.random.default_rng(0).normal(size=(len(features), len(labels))).astype(np.float32))
    output = Output.each(examples, features, logits)[1]
    assert output.pooled == pytest.approx(np.mean(logits[1 : 1 + rows], axis=0))


def test_a_question_that_fills_its_window_is_cut_to_half_of_it() -> None:
    [windows] = TOKENIZER.windows([("why " * 50, "because it is so " * 20)], max_length=20, stride=2)
    assert all(window.cut == 50 - (20 - 3) // 2 for window in windows)
    with pytest.raises(AlbertError, match="stride") as caught:
        Lengths(max_length=20, stride=18)
    assert caught.value.kind is ErrorKind.USAGE
