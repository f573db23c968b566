"""Who may ask: keys, what is stored of them, how often each may ask, and what administrators may do."""

from __future__ import annotations

import hmac
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from albert.errors import AlbertError, ErrorKind
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.keys import Keys, RateLimit, new_key
from albert.serve.core.service import Service
from albert.text.tokenizer import AlbertTokenizer
from served import Running, write_model


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> Source:
    return Source("reviews", str(write_model(tmp_path_factory.mktemp("keys") / "m", "classification", tokenizer)))


@pytest.fixture(scope="module")
def keyed(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, str]]]:
    path = tmp_path_factory.mktemp("keys") / "keys"
    made = {owner: new_key(owner, admin=owner == "boss") for owner in ("ann", "bob", "boss")}
    path.write_text("# who may ask\n\n" + "\n".join(key.line() for _, key in made.values()) + "\n")
    path.chmod(0o600)
    service = Service([Hosted.load(source)], keys=Keys.read(path), rate=RateLimit(2, 3))
    with Running(service) as running:
        yield running, {owner: text for owner, (text, _) in made.items()}


def asked(running: Running, key: str, path: str = "/predict", scheme: str = "Bearer") -> Any:
    with running.client() as client:
        return client.post(path, json={"inputs": "a"}, headers={"authorization": f"{scheme} {key}".encode()})


def test_a_key_is_needed_and_a_wrong_one_is_refused(keyed: tuple[Running, dict[str, str]]) -> None:
    running, keys = keyed
    assert asked(running, keys["ann"]).status_code == 200
    wrong = keys["ann"][:-1] + ("a" if keys["ann"][-1] != "a" else "b")
    for key in (wrong, ".", keys["ann"] + "a", "é"):
        answer = asked(running, key)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert asked(running, keys["ann"], scheme="Basic").status_code == 401
    with running.client() as client:
        assert client.post("/predict", json={"inputs": "a"}).status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/info").status_code == 401
        for path in ("/health", "/live", "/docs", "/openapi.json", "/"):
            assert client.get(path).status_code == 200


def test_a_key_that_asks_too_often_waits_and_others_do_not(keyed: tuple[Running, dict[str, str]]) -> None:
    running, keys = keyed
    answers = [asked(running, keys["bob"]) for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 2
    assert refused[0].headers["retry-after"] == "1"
    assert asked(running, keys["boss"]).status_code == 200
    time.sleep(1.1)
    assert asked(running, keys["bob"]).status_code == 200


def test_reloading_needs_an_administrator(keyed: tuple[Running, dict[str, str]], source: Source) -> None:
    running, keys = keyed
    assert asked(running, keys["ann"], "/admin/reload").status_code == 403
    old = weakref.ref(running.service.models["reviews"])
    answer = asked(running, keys["boss"], "/admin/reload")
    assert old() is None  # its memory is free
    assert answer.status_code == 200
    assert set(answer.json()["models"]) == {"reviews"}
    with Running(Service([Hosted.load(source)])) as keyless, keyless.client() as client:
        assert client.post("/admin/reload").status_code == 403


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", '{"albert": {"extra": {"task": "classification", "columns": 3}}}'),
        ("config.json", "[" * 10_000),
        ("manifest.json", '{"files": {}}'),
        ("manifest.json", '{"files": {"config.json": {}}}'),
        ("tokenizer_config.json", "[]"),
    ],
)
def test_a_folder_whose_files_say_nonsense_is_not_reloaded(
    keyed: tuple[Running, dict[str, str]], source: Source, name: str, text: str
) -> None:
    running, keys = keyed
    kept = {path: path.read_bytes() for path in Path(source.path).iterdir()}
    try:
        if name != "manifest.json":
            (Path(source.path) / "manifest.json").unlink()  # which would say that it is another file
        (Path(source.path) / name).write_text(text)
        answer = asked(running, keys["boss"], "/admin/reload")
        time.sleep(0.6)  # the rate of keys
        assert answer.status_code == 409
        assert set(answer.json()) == {"error", "error_type"}
        assert asked(running, keys["boss"]).status_code == 200
        time.sleep(0.6)
    finally:
        for path, raw in kept.items():
            path.write_bytes(raw)


def test_keys_are_compared_all_of_them_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [new_key(f"k{number}") for number in range(4)]
    keys = Keys([key for _, key in made])
    compared = []

    def counted(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(hmac, "compare_digest", counted)
    assert keys.find(f"Bearer {made[0][0]}").owner == "k0"
    assert len(compared) == 4


@pytest.mark.parametrize(
    "content", ["", "# nothing\n", "ann:key:00:11", "ann:root:" + "0" * 32 + ":" + "0" * 64, "plain-secret"]
)
def test_key_files_that_are_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(AlbertError) as caught:
        Keys.read(path)
    assert caught.value.kind is ErrorKind.CONFIG
    assert "secret" not in str(caught.value)


def test_a_key_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(new_key("ann")[1].line())
    path.chmod(0o666)
    with pytest.raises(AlbertError, match="chmod"):
        Keys.read(path)
