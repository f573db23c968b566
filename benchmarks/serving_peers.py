"""The servers that `serving.py` compares with ours: FastAPI around another engine, on the same model folder.

    python benchmarks/serving_peers.py transformers FOLDER --port 3001
    python benchmarks/serving_peers.py openvino FOLDER --port 3001
    python benchmarks/serving_peers.py openvino-int8 FOLDER --port 3001

`transformers` is the form of tutorials: an endpoint runs the model on the texts of its request, in a thread of its own.
`openvino` batches across requests as text-embeddings-inference does: in order of arrival, up to a budget of padded
tokens. It has at most 512 requests under way and answers 429 beyond.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from peers import Batch, Run, of_openvino, of_transformers
from pydantic import BaseModel
from tokenizers import Tokenizer

from albert.compute.precision import has_bf16
from albert.config import AlbertConfig
from albert.data.batches import within_budget

MAX_TOKENS = 16_384  # text-embeddings-inference's default
MAX_REQUESTS = 512
MAX_LENGTH = 128


class PredictRequest(BaseModel):
    inputs: str | list[list[str]]


class Texts:
    """From texts to padded batches and from logits to labels, for both."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_LENGTH)
        self.tokenizer.no_padding()
        self.labels = AlbertConfig.load(folder).id2label

    def ids(self, request: PredictRequest) -> list[list[int]]:
        texts = [request.inputs] if isinstance(request.inputs, str) else [each[0] for each in request.inputs]
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]

    def scores(self, logits: np.ndarray) -> list[dict[str, float | str]]:
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        return [{"label": self.labels[i], "score": float(shares[i])} for i in np.argsort(-shares)]

    def answer(self, request: PredictRequest, logits: list[np.ndarray]) -> object:
        scores = [self.scores(row) for row in logits]
        return scores[0] if isinstance(request.inputs, str) else scores


def padded(rows: list[list[int]]) -> Batch:
    mask = np.arange(max(map(len, rows))) < np.asarray([len(row) for row in rows])[:, None]
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate([np.asarray(row) for row in rows])
    return ids, mask.astype(np.int64)


def simple(app: FastAPI, texts: Texts, run: Run) -> None:
    """A request, a forward."""
    computing = threading.Lock()  # more threads at once only share the same cores

    @app.post("/predict")
    def predict(request: PredictRequest) -> object:
        batch = padded(texts.ids(request))
        with computing:
            (logits,) = run([batch])
        return texts.answer(request, list(logits))


class Batcher:
    """Rows of all requests in order of arrival, as many at a time as fit the budget."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.waiting: asyncio.Queue[tuple[list[int], asyncio.Future[np.ndarray]]] = asyncio.Queue()
        self.open = 0

    async def work(self) -> None:
        while True:
            found = [await self.waiting.get()]
            while not self.waiting.empty() and len(found) * MAX_LENGTH < MAX_TOKENS:
                found.append(self.waiting.get_nowait())
            rows = [row for row, _ in found]
            for (_, done), logits in zip(found, await asyncio.to_thread(self.batched, rows), strict=True):
                if not done.done():
                    done.set_result(logits)

    def batched(self, rows: list[list[int]]) -> list[np.ndarray]:
        """Sorted by length and cut in two or more, so that padding is little and both streams have work."""
        lengths = np.asarray([len(row) for row in rows])
        order = np.argsort(-lengths, kind="stable")
        parts = within_budget(order, lengths, max(int(lengths.sum()) // torch.get_num_threads(), 512))
        logits = self.run([padded([rows[i] for i in part]) for part in parts])
        found: list[np.ndarray] = [np.zeros(0)] * len(rows)
        for part, values in zip(parts, logits, strict=True):
            for place, row in zip(part, values, strict=True):
                found[place] = row
        return found


def batching(app: FastAPI, texts: Texts, run: Run) -> None:
    batcher = Batcher(run)
    tasks: list[asyncio.Task[None]] = []

    @app.post("/predict")
    async def predict(request: PredictRequest) -> object:
        if not tasks:
            tasks.append(asyncio.create_task(batcher.work()))
        if batcher.open >= MAX_REQUESTS:
            raise HTTPException(429, "overloaded")
        batcher.open += 1
        try:
            futures = []
            for row in await asyncio.to_thread(texts.ids, request):
                futures.append(asyncio.get_running_loop().create_future())
                batcher.waiting.put_nowait((row, futures[-1]))
            return texts.answer(request, list(await asyncio.gather(*futures)))
        finally:
            batcher.open -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("transformers", "openvino", "openvino-int8"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    bf16 = has_bf16("cpu")
    sample = [padded([[2, *range(5, 5 + length), 3] for length in (8, 30, 60)])]
    add: Callable[[FastAPI, Texts, Run], None]
    if arguments.engine == "transformers":
        run, add = of_transformers(arguments.folder, torch.bfloat16 if bf16 else torch.float32), simple
    else:
        precision = "int8" if arguments.engine == "openvino-int8" else "bf16" if bf16 else "fp32"
        run = of_openvino(arguments.folder, precision, "THROUGHPUT", sample)
        add = batching
    app = FastAPI()
    add(app, Texts(arguments.folder), run)
    run(sample)

    @app.get("/health")
    async def health() -> None:
        return None

    uvicorn.run(app, port=arguments.port, log_level="warning", access_log=False)


main()
