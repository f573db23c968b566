"""Templates to cases, the suites of the package, and errors that name the line."""

from __future__ import annotations

import itertools
import random
import re
import string
import tomllib
from pathlib import Path

import pytest

from albert.errors import AlbertError, ErrorKind
from albert.evaluation.suites import BehaviourTest, Suite, bundled_suites, read_suite
from albert.evaluation.templates import assignments, slot_names
from conftest import ROOT

HEAD = """\
[labels]
positive = ["pos", "1"]
negative = "neg"
[slots]
thing = ["soup", "film"]
good = ["great", "fine"]
"""
TEST = """
[[test]]
capability = "vocabulary"
name = "praise"
"""


def read(path: Path, *tests: str, head: str = HEAD, seed: int = 0) -> Suite:
    file = path / "suite.toml"
    file.write_text(head + "".join(f"{TEST}{test}\n" for test in tests), encoding="utf-8")
    return read_suite(file, seed=seed)


def only(path: Path, test: str, *, head: str = HEAD, seed: int = 0) -> BehaviourTest:
    return read(path, test, head=head, seed=seed).tests[0]


def pairs(test: BehaviourTest) -> list[tuple[str, ...]]:
    return [tuple(texts["text"] for texts in (case.original, *case.variants)) for case in test.cases]


# --- templates -----------------------------------------------------------------------------------------

SLOTS = {"name": ["Ada", "Bo", "Cy"], "thing": ["soup", "film"]}


def test_slots_take_all_combinations() -> None:
    found = assignments(["{name} likes {thing}."], SLOTS, most=99, rng=random.Random(0))
    assert [f"{values['name']} {values['thing']}" for values in found] == [
        "Ada soup", "Bo soup", "Cy soup", "Ada film", "Bo film", "Cy film",
    ]  # fmt: skip
    assert assignments(["No {{slots}}."], SLOTS, most=9, rng=random.Random(0)) == [{}]


def test_numbered_slots_differ() -> None:
    found = assignments(["{name1} met {name2}.", "{name2} met {name1}."], SLOTS, most=99, rng=random.Random(0))
    assert {(values["name1"], values["name2"]) for values in found} == set(itertools.permutations(SLOTS["name"], 2))
    assert len(found) == 6


def test_a_cap_draws_different_ones_by_the_seed() -> None:
    slots = {letter: [str(i) for i in range(100)] for letter in string.ascii_lowercase}  # 10 ** 52 combinations
    text = "".join(f"{{{name}}}" for name in slots)
    first = assignments([text], slots, most=50, rng=random.Random(0))
    assert len({tuple(values.values()) for values in first}) == 50
    assert first == assignments([text], slots, most=50, rng=random.Random(0))
    assert first != assignments([text], slots, most=50, rng=random.Random(1))


@pytest.mark.parametrize("text", ["{thing:>9}", "{thing!r}", "{}", "{thing.name}", "{0}", "{", "}", "{other}"])
def test_braces_that_are_no_slots(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|brace|no slot|'\}'|'\{'"):
        assignments([text], SLOTS, most=9, rng=random.Random(0))


def test_too_few_values() -> None:
    with pytest.raises(ValueError, match="slot 'thing' has too few values for thing1, thing2, thing3"):
        assignments(["{thing1} {thing2} {thing3}"], SLOTS, most=9, rng=random.Random(0))
    assert slot_names("{a} {{b}} {c}") == ["a", "c"]


# --- files ---------------------------------------------------------------------------------------------


def test_minimum_functionality(tmp_path: Path) -> None:
    test = only(tmp_path, 'type = "MFT"\ninputs = ["The {thing} is {good}.", "Fine."]\nexpect = "positive"')
    assert pairs(test) == [
        ("The soup is great.",), ("The film is great.",), ("The soup is fine.",), ("The film is fine.",), ("Fine.",),
    ]  # fmt: skip
    assert {case.expected for case in test.cases} == {("positive",)}
    assert test.labels() == ("positive",)


def test_changes(tmp_path: Path) -> None:
    invariance = 'type = "INV"\ninputs = ["The {thing} is {good}."]\n'
    changed = only(tmp_path, invariance + 'changed = ["My {thing} is {good}."]')
    assert pairs(changed)[0] == ("The soup is great.", "My soup is great.")
    perturbed = only(tmp_path, invariance + 'perturb = "punctuation"')
    assert pairs(perturbed)[3] == ("The film is fine.", "The film is fine")
    varied = only(tmp_path, invariance + 'vary = "thing"')
    assert pairs(varied) == [
        ("The soup is great.", "The film is great."), ("The soup is fine.", "The film is fine."),
    ]  # fmt: skip


def test_inputs_that_nothing_changes_are_left_out(tmp_path: Path) -> None:
    test = only(tmp_path, 'type = "INV"\ninputs = ["It is not so.", "Soup"]\nperturb = "contractions"')
    assert pairs(test) == [("It is not so.", "It isn't so.")]


def test_on_says_which_text_is_perturbed(tmp_path: Path) -> None:
    pair = 'type = "INV"\ninputs = [{text = "A.", text_pair = "B."}]\nperturb = "punctuation"\n'
    assert only(tmp_path, pair).cases[0].variants == ({"text": "A", "text_pair": "B"},)
    assert only(tmp_path, pair + 'on = "text_pair"').cases[0].variants == ({"text": "A.", "text_pair": "B"},)


def test_directions(tmp_path: Path) -> None:
    test = only(tmp_path, 'type = "DIR"\ninputs = ["It is {good}."]\nperturb = "negation"\nlabel = "positive"\n'
                          'direction = "fall"\ntolerance = 0.1')  # fmt: skip
    assert (test.label, test.direction, test.tolerance, test.labels()) == ("positive", "fall", 0.1, ("positive",))
    assert pairs(test)[0] == ("It is great.", "It is not great.")


def test_questions_have_answers(tmp_path: Path) -> None:
    test = only(tmp_path, 'type = "MFT"\ninputs = [\n{question = "What?", context = "A {thing}.", answer = ["{thing}", '
                          '"a {thing}"]},\n{question = "Who?", context = "A {thing}.", answer = ""}]')  # fmt: skip
    assert [case.expected for case in test.cases] == [("soup", "a soup"), ("film", "a film"), ("",), ("",)]
    assert test.cases[0].original == {"question": "What?", "context": "A soup."}
    assert test.labels() == ()


def test_cases_are_capped_and_drawn_by_the_seed(tmp_path: Path) -> None:
    praise = 'type = "MFT"\ninputs = ["The {thing} is {good}.", "A {good} {thing}."]\nexpect = ["positive", "negative"]'
    head = "max_cases = 5\n" + HEAD
    drawn = [pairs(only(tmp_path, praise, head=head, seed=seed)) for seed in (0, 0, 1, 2)]
    assert {len(set(one)) for one in drawn} == {5}
    assert drawn[0] == drawn[1]
    assert len({tuple(one) for one in drawn}) > 1


def test_a_label_has_its_own_name_and_those_of_models(tmp_path: Path) -> None:
    suite = read(tmp_path, 'type = "MFT"\ninputs = ["Fine."]\nexpect = "positive"')
    assert all(suite.stands_for(said, "positive") for said in ("positive", "POS", "1"))
    assert not suite.stands_for("neg", "positive")


GOOD = 'type = "MFT"\ninputs = ["Fine."]\nexpect = "positive"'
BAD = [  # (test, line in the file, of which the test's header is the 15th, part of the message)
    ('type = "XYZ"\ninputs = ["A"]', 18, "expected one of MFT, INV, DIR, got 'XYZ'"),
    ('inputs = ["A"]', 15, "expected one of MFT, INV, DIR, got None"),
    ('type = "MFT"', 15, "inputs: is missing: expected keys capability, name, type, inputs"),
    ('type = "DIR"\ninputs = ["A"]\nlabel = "positive"', 15, "direction: is missing"),
    ('type = "MFT"\ninputs = []\nexpect = "positive"', 19, "no inputs: expected at least one"),
    ('type = "MFT"\ninputs = "A"\nexpect = "positive"', 19, "expected a list, got str"),
    ('type = "MFT"\ninputs = ["A"]\nexpects = "positive"', 20, "no such key here (did you mean 'expect'?)"),
    ('type = "MFT"\ninputs = ["A"]\nperturb = "typos"', 20, "perturb: no such key here"),
    ('type = "MFT"\ninputs = ["A"]\nexpect = "neutral"', 20, "expected a key of [labels]: positive, negative, got"),
    ('type = "MFT"\ninputs = ["A"]\nexpect = []', 20, "expected a string or a list of strings"),
    ('type = "MFT"\ninputs = ["A"]', 19, "nothing is expected: expected `expect` beside texts, `answer` beside"),
    ('type = "MFT"\nexpect = "positive"\ninputs = [\n"A",\n"The {food}.",\n]', 22, "no slot 'food' among thing, good"),
    ('type = "MFT"\nexpect = "positive"\ninputs = [\n"A",\n"The {thing."]', 22, "expected '}'"),
    ('type = "MFT"\nexpect = "positive"\ninputs = [\n"A",\n{text = "B", pair = "C"}]', 22, 'expected "…", {text = "…"'),
    ('type = "MFT"\nexpect = "positive"\ninputs = [3]', 20, "got 3"),
    ('type = ["MFT"]\ninputs = ["A"]', 18, "expected one of MFT, INV, DIR, got ['MFT']"),
    ('type = "MFT"\ninputs = ["A", {question = "B?", context = "C", answer = "C"}]\nexpect = "positive"', 19,
     "expected all texts, all pairs or all questions"),
    ('type = "MFT"\ninputs = [{question = "B?", context = "C"}]\nexpect = "positive"', 19, "nothing is expected"),
    ('type = "MFT"\ninputs = [{text = "B", answer = "C"}]\nexpect = "positive"', 19, "an input: expected"),
    ('type = "INV"\ninputs = ["A"]\nchanged = [{text = "A", text_pair = "B"}]', 19, "all texts, all pairs"),
    ('type = "INV"\ninputs = ["A"]', 18, "what changes: expected one of changed, perturb, vary, got "),
    ('type = "INV"\ninputs = ["A"]\nperturb = "typo"', 20, "expected one of typos, contractions, punctuation"),
    ('type = "INV"\ninputs = ["A"]\nperturb = "typos"', 20, "perturb: changes none of the inputs"),
    ('type = "INV"\ninputs = ["A"]\nperturb = "casing"\non = "question"', 21, "expected one of text, got 'question'"),
    ('type = "INV"\ninputs = ["A"]\nvary = "food"', 20, "vary: not known: expected one of thing, good, got 'food'"),
    ('type = "INV"\ninputs = ["A"]\nvary = "thing"', 20, "vary: changes none of the inputs"),
    ('type = "INV"\ninputs = ["A", "B"]\nchanged = ["C"]', 20, "a text for each of `inputs`: expected 2, got 1"),
    ('type = "DIR"\ninputs = ["a"]\nperturb = "casing"\nlabel = "x"\ndirection = "fall"', 21, "got 'x'"),
    ('type = "DIR"\ninputs = ["a"]\nperturb = "casing"\nlabel = "negative"\ndirection = "u"', 22, "not rise, not fall"),
    ('type = "DIR"\ninputs = [{question = "a?", context = "b"}]\nperturb = "casing"\nlabel = "positive"\n'
     'direction = "fall"', 18, "DIR is about the score of a label"),
]  # fmt: skip


@pytest.mark.parametrize(("test", "line", "message"), BAD, ids=range(len(BAD)))
def test_a_bad_test_is_named_by_its_line(tmp_path: Path, test: str, line: int, message: str) -> None:
    with pytest.raises(AlbertError) as caught:
        read(tmp_path, GOOD, test)
    assert caught.value.kind is ErrorKind.DATA
    assert re.search(rf"suite\.toml:{line}: .*{re.escape(message)}", str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    ("head", "line", "message"),
    [
        ("labels = 3\n", 1, "labels: its value: expected a table, got int"),
        ("max_cases = true\n", 1, "max_cases: its value: expected a whole number, got bool"),
        ("\nmax_cases = 0\n", 2, "expected at least 1"),
        ("[label]\na = 1\n", 1, "no such key here (did you mean 'labels'?)"),
        ("[labels]\nyes = []\n", 2, "yes: its value: expected a string or a list of strings"),
        ("[slots]\nthing = [1]\n", 2, "thing: its value"),
        ("[slots]\nthing =\n", 2, "not TOML"),
        ("[slots]\nthing = '''", 8, "not TOML"),
    ],
)
def test_a_bad_head_is_named_by_its_line(tmp_path: Path, head: str, line: int, message: str) -> None:
    with pytest.raises(AlbertError) as caught:
        read(tmp_path, GOOD, head=head)
    assert re.search(rf"suite\.toml:{line}: .*{re.escape(message)}", str(caught.value)), str(caught.value)


def test_tests_may_be_written_in_line(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match=r"suite\.toml:1: type: not known"):
        read(tmp_path, head='test = [\n{capability = "a", name = "b", type = "XYZ", inputs = ["A"]}]\n')


def test_all_bad_tests_are_listed(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match=r"(?s)3 bad lines.*toml:11.*toml:16.*toml:21"):
        read(tmp_path, 'type = "A"', 'type = "B"', 'type = "C"')


def test_a_file_without_tests_or_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match=r"toml:1: test: is missing"):
        read(tmp_path)
    with pytest.raises(AlbertError, match="no such file"):
        read_suite(tmp_path / "suit.toml")


# --- what the package and the guide hold ---------------------------------------------------------------


def test_the_bundled_suites_are_whole() -> None:
    assert set(bundled_suites()) == {"sentiment", "paraphrase", "entailment", "qa"}
    for name in bundled_suites():
        suite = read_suite(name)
        assert len(suite.tests) >= 10
        assert len({(test.capability, test.name) for test in suite.tests}) == len(suite.tests)
        assert {"MFT", "INV"} <= {test.type for test in suite.tests}
        for test in suite.tests:
            assert 20 <= len(test.cases) <= 100, test.name
            texts = [text for case in test.cases for made in (case.original, *case.variants) for text in made.values()]
            assert not any(re.search(r"[{}]|\b[Aa] [aeioAEIO]|  ", text) for text in texts), test.name


def test_the_guides_example_is_a_suite(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guide" / "behaviour.md").read_text(encoding="utf-8")
    example = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)[0]
    file = tmp_path / "mine.toml"
    file.write_text(example, encoding="utf-8")
    suite = read_suite(file)
    assert [test.type for test in suite.tests] == [entry["type"] for entry in tomllib.loads(example)["test"]]
