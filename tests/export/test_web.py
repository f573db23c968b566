"""What `albert export --to web` writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.export import web
from albert.export.web import export_web
from albert.predict.predictor import Predictor
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert
from served import write_model
from webs import source, write_site


def edited(model: Path, **changes: Any) -> Path:
    """The model with other entries in the settings of its task."""
    path = model / "config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        raw["albert"]["extra"][name] = value
    path.write_text(json.dumps(raw), encoding="utf-8")
    (model / "manifest.json").unlink()
    return model


@pytest.fixture
def model(tokenizer: AlbertTokenizer, tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", "classification", tokenizer)


def refused(model: Path, out: Path, dev: DataSource | None = None) -> str:
    """The error with which a model is refused. Nothing is written."""
    with pytest.raises(AlbertError) as caught:
        export_web(model, dev or source(out.parent, "classification"), out=out)
    assert caught.value.kind is ErrorKind.MODEL
    assert not out.exists()
    return str(caught.value)


def test_networks_that_albert_lite_does_not_know_are_refused(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    def folder(name: str, task: str = "classification", **sizes: Any) -> Path:
        return write_model(tmp_path / name, task, tokenizer, **sizes)

    out = tmp_path / "site"
    assert "a decoder" in refused(folder("writer", "text2text"), out)
    assert "attention_window=8" in refused(folder("windows", attention_window=8), out)
    hybrid = edited(folder("hybrid"), hybrid={"head": 1.0, "words": 1.0, "shift": 0.0})
    assert "a linear model on words" in refused(hybrid, out)
    layers = {"sharing": "none", "num_hidden_groups": 2, "embedding_size": 32, "embedding_projection": False}
    assert "the layout of BERT" in refused(folder("bert", model_type="bert", **layers), out)
    (folder("sentences") / "modules.json").write_text("[]")
    assert "a model of sentence-transformers" in refused(tmp_path / "sentences", out)


def test_a_score_that_falls_is_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{number} lamps and {number * number} chairs" for number in range(40)]
    gold = Predictor.load(model, precision="fp32")(texts)
    rows = [{"text": text, "label": each["label"]} for text, each in zip(texts, gold, strict=True)]
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(web, "_STEPS", (0.5,))  # hardly a weight is not 0
    dev = DataSource(tmp_path / "gold.jsonl", text="text", label="label")
    assert "below 1.0000" in refused(model, tmp_path / "site", dev)


def test_a_package_without_the_engine_says_how_to_build_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "ENGINE", "none.wasm.gz")
    with pytest.raises(AlbertError, match="make web"):
        export_web(model, source(tmp_path, "classification"), out=tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_kill_of_the_writing_leaves_nothing(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(web, "_write_model", broken)
    with pytest.raises(AlbertError) as caught:
        export_web(model, source(tmp_path, "classification"), out=tmp_path / "site", force=True)
    assert caught.value.kind is ErrorKind.DISK
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev.jsonl", "model"]


def test_the_folder_has_what_a_browser_needs(tokenizer: AlbertTokenizer, tmp_path: Path) -> None:
    site = write_site(tmp_path, "classification", tokenizer)
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "connect-src 'self'" in page
    assert "http" not in page.replace("http-equiv", "")
    names = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    about = json.loads((site / "model" / "about.json").read_text(encoding="utf-8"))
    assert {f"model/{name}" for name in about["files"]} <= names
    for script in (site / "page").glob("*.js"):
        for line in script.read_text(encoding="utf-8").splitlines():
            if line.startswith("import "):
                assert f"page/{line.split('./')[1].rstrip(';').strip(chr(34))}" in names, line
    [model] = about["models"]
    assert model["endpoints"] == ["/predict", "/tokenize"]
    assert model["labels"] == ["bad", "good", "none"]


def test_the_command_wants_a_folder_of_its_own(model: Path, tmp_path: Path, albert: Albert) -> None:
    dev = source(tmp_path, "classification").path
    told = albert("export", model, "--to", "web", "--dev", dev)
    assert told.returncode == 2
    assert "--out: expected a new folder, got none" in told.stderr
    told = albert("export", model, "--dev", dev, "-o", tmp_path / "site")
    assert told.returncode == 2
    assert "expected none for int8" in told.stderr
    told = albert("export", model, "--to", "web", "--dev", dev, "-o", tmp_path)
    assert told.returncode == 2
    assert "expected a new or empty folder" in told.stderr
    told = albert("export", model, "--to", "web", "--dev", dev, "-o", tmp_path / "site", "--force", "--text", "text")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "site" / "index.html").is_file()
