"""`albert generate`, `translate`, `predict` and `evaluate` with a model that writes; its weights are drawn."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import albert as package
from albert.errors import AlbertError
from albert.predict import files
from albert.predict.predictor import Predictor
from albert.predict.writer import Writer
from conftest import Albert
from rewriting import pairs, write_model, write_pairs


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("written") / "model")


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_verb_writes_what_python_writes(albert: Albert, model: Path) -> None:
    sources = [source for source, _ in pairs(7)]
    loaded = package.load(model)
    assert isinstance(loaded, Writer)
    wanted = [answer["text"] for answer in loaded(sources)]
    assert any(wanted)
    lines = "".join(f"{source}\n" for source in sources)
    for verb in ("generate", "predict"):
        done = albert(verb, model, input=lines)
        assert done.returncode == 0, done.stderr
        assert [row["prediction"] for row in rows_of(done.stdout)] == wanted
    assert loaded(sources[0])[0]["text"] == wanted[0]
    done = albert("translate", model, input=lines)
    beam = [answer["text"] for answer in loaded.writing(beam=4)(sources)]
    assert [row["prediction"] for row in rows_of(done.stdout)] == beam


def test_several_texts_their_scores_and_their_pieces(albert: Albert, model: Path) -> None:
    done = albert("generate", model, "--beam", 3, "--best", 3, "--token-scores", input="drei Null\neins Neun\n")
    for row in rows_of(done.stdout):
        scores = [one["score"] for one in row["predictions"]]
        assert 1 <= len(scores) <= 3
        assert scores == sorted(scores, reverse=True)
        for one in row["predictions"]:
            logprobs = [piece["logprob"] for piece in one["tokens"]]
            assert one["score"] == pytest.approx(sum(logprobs) / len(logprobs), abs=1e-6)


def test_every_text_has_the_words(albert: Albert, model: Path) -> None:
    for verb in (("generate", "--beam", 2, "--best", 2), ("translate", "--best", 2)):
        done = albert(*verb, model, "--words", "9-, Null", "--max-new", 12, input="drei Null\neins Neun\n")
        assert done.returncode == 0, done.stderr
        for row in rows_of(done.stdout):
            assert all("9-" in one["text"] and "Null" in one["text"] for one in row["predictions"])


def test_pieces_with_the_parts_of_the_source_behind_them(albert: Albert, model: Path) -> None:
    text = "drei  Null Fünf"
    done = albert("generate", model, "--alignments", input=f"{text}\n")
    (best,) = rows_of(done.stdout)[0]["predictions"]
    assert "".join(piece["token"] for piece in best["alignments"]).replace("▁", " ").strip() == best["text"]
    for piece in best["alignments"]:
        shares = [source["weight"] for source in piece["sources"]]
        assert shares == sorted(shares, reverse=True)
        assert 0.05 < sum(shares) <= 1 + 1e-6
        assert all(text[source["start"] : source["end"]].strip() for source in piece["sources"])


def test_draws_are_the_same_in_any_company(albert: Albert, model: Path) -> None:
    together = albert("generate", model, "--temperature", 1.5, "--seed", 3, input="drei Null\neins Neun Neun\nvier\n")
    alone = albert("generate", model, "--temperature", 1.5, "--seed", 3, input="eins Neun Neun\n")
    assert rows_of(together.stdout)[1]["prediction"] == rows_of(alone.stdout)[0]["prediction"]
    other = albert("generate", model, "--temperature", 1.5, "--seed", 4, input="drei Null\neins Neun Neun\nvier\n")
    assert other.stdout != together.stdout


def test_a_limit_that_is_reached_is_told(albert: Albert, model: Path) -> None:
    done = albert("generate", model, "--max-new", 1, input="drei Null\neins Neun Neun\n")
    assert "reached the limit on length" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--best", 3), 2, "3 answers a text: expected at most the beam's 1"),
        (("--beam", 2, "--top-p", 0.5), 2, "beam"),
        (("--temperature", 0), 2, "temperature"),
        (("--top-p", 1.5), 2, "top_p"),
        (("--prefix", "Ж9"), 2, "prefix 'Ж9': expected characters that the vocabulary has"),
        (("--prefix", "9-" * 40), 2, "expected fewer than 31 pieces"),
        (("--min-new", 9, "--max-new", 3), 2, "min_length"),
        (("--words", "drei,Ж9"), 2, "words 'Ж9': expected characters that the vocabulary has"),
        (("--words", "9-9-9-9,3-3-3-3", "--max-new", 5), 2, "words: expected at most 5 pieces altogether"),
        (("--words", "drei,"), 2, "words: expected a list of words, none of them empty"),
        (("--words", "drei", "--sample"), 2, "words: expected none where pieces are drawn at random"),
        (("--no-repeat-ngram", -1), 2, "no_repeat_ngram"),
        (("--stride", 4), 2, "--stride: expected a model with labels, got one that writes texts"),
        (("--max-length", 40), 2, "--max-length 40: expected at most the model's 32"),
    ],
)
def test_options_that_do_not_fit_are_one_clear_line(
    albert: Albert, model: Path, tmp_path: Path, options: tuple[Any, ...], code: int, told: str
) -> None:
    out = tmp_path / "out.csv"
    done = albert("generate", model, write_pairs(tmp_path / "pairs.csv", 3), "-o", out, *options)
    assert done.returncode == code
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_a_model_that_does_not_write_is_refused(albert: Albert) -> None:
    done = albert("generate", "starter", input="a text\n")
    assert done.returncode == 66
    assert "expected a model that writes texts" in done.stderr


def test_other_work_on_a_writer_is_refused_in_one_line(albert: Albert, model: Path) -> None:
    for verb in (("embed", model), ("moderate", model), ("rerank", model, "--query", "x"), ("fill-mask", model)):
        done = albert(*verb, input="drei [MASK]\n")
        assert done.returncode in (2, 66), (verb, done.stderr)
        assert "Traceback" not in done.stderr
    with pytest.raises(AlbertError, match="writes texts"):
        Predictor.load(model)


def test_a_precision_that_it_lacks_is_refused(albert: Albert, model: Path) -> None:
    for precision in ("int8", "bf16"):
        done = albert("predict", model, "--precision", precision, input="drei\n")
        assert done.returncode == 2
        assert f"--precision {precision}: expected auto or fp32" in done.stderr


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_precision_is_that_of_all_verbs(albert: Albert, tmp_path: Path, precision: Any) -> None:
    model = write_model(tmp_path / "model", hidden_size=64, num_attention_heads=4)
    try:
        loaded = package.load(model, precision=precision)
    except AlbertError as error:
        pytest.skip(str(error))
    assert isinstance(loaded, Writer)
    assert loaded.precision == loaded.identity()["precision"] == precision
    done = albert("translate", model, "--precision", precision, input="drei Null\n")
    assert rows_of(done.stdout)[0]["prediction"] == loaded.writing(beam=4)("drei Null")[0]["text"]


def test_check_reads_pairs_and_says_nothing_of_labels(albert: Albert, tmp_path: Path) -> None:
    good = albert("check", write_pairs(tmp_path / "pairs.csv", 30), "--task", "text2text", "--json")
    assert good.returncode == 0, good.stderr
    assert not any("label" in finding["code"] for finding in json.loads(good.stdout)["findings"])
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"source": "eins", "target": "1"}\n{"source": "zwei", "target": []}\n')
    done = albert("check", bad, "--task", "text2text")
    assert done.returncode == 65
    assert "bad.jsonl:2" in done.stdout


def test_an_interrupted_call_goes_on(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, out = write_pairs(tmp_path / "pairs.csv", 20), tmp_path / "out.csv"
    monkeypatch.setattr(files, "CHUNK", 6)
    writer = Writer.load(model)
    whole = files.score_file(writer, data, str(tmp_path / "whole.csv"))
    calls = 0
    write = Writer.write

    def fails(self: Writer, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return write(self, *arguments)

    monkeypatch.setattr(Writer, "write", fails)
    with pytest.raises(KeyboardInterrupt):
        files.score_file(writer, data, str(out))
    monkeypatch.setattr(Writer, "write", write)
    scored = files.score_file(writer, data, str(out))
    assert (scored.rows, scored.resumed, whole.rows) == (20, 12, 20)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_another_way_of_writing_does_not_go_on(model: Path, tmp_path: Path) -> None:
    """The job's identity holds every option that changes a row."""
    from albert.generation import GenerationOptions
    from albert.predict.work import Predicting
    from albert.tasks import DecodeOptions

    writer = Writer.load(model)
    jobs = [Predicting(writer, DecodeOptions(generation=GenerationOptions(**options))).identity()
            for options in ({}, {"beam": 2}, {"prefix": "1"}, {"sample": True, "seed": 2})]  # fmt: skip
    assert len({json.dumps(job, sort_keys=True) for job in jobs}) == 4


def test_evaluate_prints_the_signature_of_sacrebleu(albert: Albert, model: Path, tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "pairs.csv", 6)
    done = albert("evaluate", model, data, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["metric"] == "exact_match"
    assert set(result["scores"]) == {"chrf", "bleu", "rouge_l", "exact_match"}
    assert "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in done.stderr


def test_a_long_source_is_cut_and_told(albert: Albert, model: Path, tmp_path: Path) -> None:
    data = tmp_path / "long.csv"
    with data.open("w", newline="") as file:
        csv.writer(file).writerows([["source"], ["eins " * 60], ["zwei"]])
    done = albert("predict", model, data)
    assert "1 texts are longer than 24 pieces and were cut" in done.stderr


@pytest.mark.ci
def test_training_by_the_command_line(albert: Albert, tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("".join(f"{source}\n" for source, _ in pairs(30)), encoding="utf-8")
    second.write_text("".join(f"{target}\n" for _, target in pairs(30)), encoding="utf-8")
    small = {"steps": 2, "num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32}
    settings = [word for name, value in small.items() for word in ("--set", f"{name}={value}")]
    done = albert("train", first, "--targets", second, "-o", tmp_path / "out", "--size", "tiny", "--metric", "bleu",
                  *settings, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metric"] == "bleu"
    assert "AlbertForText2Text" in (tmp_path / "out" / "config.json").read_text()
    assert "pipeline_tag: text2text-generation" in (tmp_path / "out" / "README.md").read_text()
    shorter = albert("train", first, "--targets", write_pairs(tmp_path / "c.csv", 3), "-o", tmp_path / "other")
    assert shorter.returncode == 65
    assert "equally many lines" in shorter.stderr


def test_settings_lists_those_of_the_decoder(albert: Albert) -> None:
    names = {each["name"] for each in json.loads(albert("settings", "text2text", "--json").stdout)}
    assert {"decoder_layers", "share_with_encoder", "label_smoothing", "hidden_size"} <= names
    assert "decoder" not in names
