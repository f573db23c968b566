"""Servers as processes: signals under load, model folders that change, memory, and what does not start at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from albert.errors import AlbertError, ErrorKind
from albert.serve.core.hosted import Hosted, Source
from albert.serve.core.logs import log
from albert.serve.http.run import ServeConfig, serve
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert
from served import Load, Server, write_model

BODY = {"inputs": [["a lovely lamp"], ["a broken chair, number 7"]]}


@pytest.fixture
def folder(tmp_path: Path, tokenizer: AlbertTokenizer) -> Path:
    return write_model(tmp_path / "model", "classification", tokenizer)


def test_signals_and_a_folder_that_changes(folder: Path, tokenizer: AlbertTokenizer) -> None:
    """Weights are in memory; SIGHUP takes a good new model and keeps the old one for a bad; SIGTERM loses nothing."""
    with Server.start(folder, "--max-batch-tokens", 64) as server:
        with server.client() as client:
            before = client.post("/predict", json=BODY).json()
            for path in folder.iterdir():  # in place: a mapped file would change under the server, or end it
                path.write_bytes(b"\0" * 10)
            assert client.post("/predict", json=BODY).json() == before
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("reload refused")
            assert client.post("/predict", json=BODY).json() == before

            shutil.rmtree(folder)
            write_model(folder, "classification", tokenizer, seed=1)
            server.process.send_signal(signal.SIGHUP)
            server.wait_for("reloaded")
            after = client.post("/predict", json=BODY).json()
            assert after != before
            assert client.get("/info").json()["model_sha"] == Hosted.load(Source("m", str(folder))).fingerprint
        sigterm_under_load(server)


def sigterm_under_load(server: Server) -> None:
    async def load() -> Load:
        clients = Load()
        work = asyncio.ensure_future(clients.run(server.address, clients=16, requests=1_000_000, body=BODY))
        await asyncio.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(refuses, server)
        await asyncio.wait_for(work, 30)
        return clients

    clients = asyncio.run(load())
    assert server.process.wait(30) == 0
    stopped = server.wait_for("stopped")
    assert clients.lost == 0
    assert set(clients.statuses) <= {200, 503}
    assert stopped["left"] == 0
    assert stopped["accepted"] == stopped["answered"] == clients.statuses[200] + 4


def refuses(server: Server) -> None:
    """It says that it stops before it does."""
    server.wait_for("stopping")
    with server.client() as client:
        answer = client.get("/health")
        assert answer.status_code == 503
        assert answer.headers["connection"] == "close"
        answer = client.post("/predict", json=BODY)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert client.get("/live").status_code == 200


@pytest.mark.slow
def test_tls(folder: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    paths = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", paths[0], "-out", paths[1], "-days", "1", "-subj", "/CN=localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    with Server.start(folder, "--tls-key", paths[0], "--tls-certificate", paths[1]) as server:
        assert server.url.startswith("https://")
        with server.client(verify=False) as client:
            assert client.post("/predict", json=BODY).status_code == 200
        assert server.stop(signal.SIGINT) == 0


# --- what does not start ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_an_address_that_others_reach_demands_keys(folder: Path, host: str) -> None:
    with pytest.raises(AlbertError, match="API keys") as caught:
        ServeConfig(models=(Source("a", str(folder)),), host=host)
    assert caught.value.kind is ErrorKind.CONFIG


def test_a_port_that_is_taken_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(AlbertError, match="choose another --port"):
        serve(ServeConfig(models=(Source("a", str(folder)),), port=taken.getsockname()[1]))


def test_commands_that_make_no_sense(albert: Albert, folder: Path, tmp_path: Path) -> None:
    for arguments, code in (
        ([folder, folder], 2),
        ([f"a b={folder}"], 2),
        ([tmp_path / "nothing"], 66),
        ([folder, "--host", "0.0.0.0"], 78),
        ([folder, "--api-key-file", tmp_path / "nothing"], 78),
        ([folder, "--tls-key", "x"], 2),
        ([folder, "--tls-key", folder / "config.json", "--tls-certificate", folder / "config.json"], 78),
        ([folder, "--rate", 5], 2),
        ([folder, "--timeout", "0"], 78),
    ):
        done = albert("serve", *arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert done.stderr.count("error[") == 1


def test_a_key_is_made_and_told_once(albert: Albert, tmp_path: Path) -> None:
    from albert.serve.core.keys import Keys

    done = albert("serve-key", "ann", "--admin")
    (tmp_path / "keys").write_text(done.stdout)
    (tmp_path / "keys").chmod(0o600)
    text = done.stderr.split()[0]
    assert text not in done.stdout
    key = Keys.read(tmp_path / "keys").find(f"Bearer {text}")
    assert (key.owner, key.admin) == ("ann", True)


@pytest.mark.parametrize(("text", "name"), [("out", "out"), ("a=out", "a"), ("owner/model", "model"), ("x/y=z", "y=z")])
def test_names_of_models(text: str, name: str) -> None:
    if "=" in name:
        with pytest.raises(AlbertError, match="NAME=FOLDER"):
            Source.parse(text)
    else:
        assert Source.parse(text).name == name


# --- long ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nobody_needs_to_read_the_log(folder: Path) -> None:
    with Server.start(folder) as server:
        server.hang_up()
        with server.client() as client:
            assert client.post("/predict", json=BODY).status_code == 200
        assert server.stop() == 0


def test_a_log_that_nobody_reads_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", buffering=1) as pipe:
        monkeypatch.setattr("sys.stderr", pipe)
        with pytest.raises(BrokenPipeError):
            print("a line", file=pipe, flush=True)
        log("info", "nobody hears this")
        monkeypatch.undo()
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


@pytest.mark.slow
def test_a_hung_engine_does_not_keep_the_process(folder: Path) -> None:
    program = [str(Path(__file__).with_name("hanging.py"))]
    with Server.start(folder, "--drain", 1.5, "--timeout", 60, program=program) as server, server.client() as client:
        assert client.post("/predict", json=BODY).status_code == 200
        with pytest.raises(httpx.TimeoutException):
            client.post("/predict", json={"inputs": "word " * 30}, timeout=0.5)
        assert client.get("/health", timeout=10).status_code == 503
        assert client.get("/live").status_code == 200
        with socket.create_connection(server.address) as waiting:
            waiting.sendall(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                            b"Content-Length: 15\r\n\r\n{\"inputs\": \"a\"}")  # fmt: skip
            time.sleep(0.3)
            begun = time.monotonic()
            assert server.stop() == ErrorKind.INTERNAL.exit_code
            assert time.monotonic() - begun < 10
        assert server.wait_for("stopped")["left"] == 1


def growth(server: Server, *, before: int, requests: int) -> int:
    """Bytes by which the process grows over so many requests, after others that warm it up. No two
    have the same length: what is equal finds the place that the one before left."""

    rng = random.Random(0)
    words = [f"word{number}" for number in range(2000)]
    texts = (" ".join(rng.choices(words, k=rng.randint(1, 40))) for _ in range(20_000))
    bodies = [{"inputs": [[text]] * rng.randint(1, 3)} for text in texts]

    def load(count: int) -> None:
        clients = Load()
        asyncio.run(clients.run(server.address, clients=16, requests=count, body=bodies))
        assert clients.statuses == {200: count}

    load(before)
    start = server.memory()
    load(requests)
    return server.memory() - start


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_does_not_grow(folder: Path) -> None:
    with Server.start(folder) as server:
        count = int(os.environ.get("ALBERT_SERVE_REQUESTS", "100000"))
        grown = growth(server, before=10_000, requests=count)
        assert server.stop() == 0
        print(f"{grown / 1e6:.1f} MB over {count:,} requests")
        assert grown <= 20_000_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_planted_leak_is_found(folder: Path) -> None:
    with Server.start(folder, program=[str(Path(__file__).with_name("leaking.py"))]) as server:
        grown = growth(server, before=3000, requests=25_000)
        assert server.stop() == 0
        assert grown > 20_000_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_restarts_under_load_lose_nothing(folder: Path) -> None:
    restarts = int(os.environ.get("ALBERT_SERVE_RESTARTS", "100"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def run() -> tuple[Load, int, int]:
        clients = Load()
        work = asyncio.ensure_future(
            clients.run(("127.0.0.1", port), clients=8, requests=10_000_000, body=BODY, retry=True)
        )
        accepted = answered = 0
        for _ in range(restarts):
            with await asyncio.to_thread(Server.start, folder, port=port) as server:
                await asyncio.sleep(0.5)
                assert await asyncio.to_thread(server.stop) == 0
            stopped = server.wait_for("stopped")
            accepted, answered = accepted + stopped["accepted"], answered + stopped["answered"]
        work.cancel()
        return clients, accepted, answered

    clients, accepted, answered = asyncio.run(run())
    print(f"{restarts} restarts, {accepted:,} accepted, {clients.statuses}, {clients.lost} connections lost")
    assert accepted == answered == clients.statuses[200]
    assert set(clients.statuses) <= {200, 503}
    assert answered > 10 * restarts


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_clients(folder: Path) -> None:
    with Server.start(folder) as server:
        clients = Load(pause=1)  # what Retry-After asks for at least
        begun = time.monotonic()
        asyncio.run(clients.run(server.address, clients=1000, requests=6000, body=BODY))
        assert set(clients.statuses) <= {200, 429}
        assert clients.lost == clients.refused == 0
        assert clients.statuses[200] > 3000
        print(json.dumps({"seconds": round(time.monotonic() - begun, 1), **clients.statuses}))
        assert server.stop() == 0
