"""What the endpoints share: the models, the queue, threads for text, and whether the server is ready."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch

from albert.data.batches import Features
from albert.data.examples import Example
from albert.errors import AlbertError
from albert.generation import GenerationOptions
from albert.generation.options import GREEDY
from albert.predict.draft import Draft
from albert.predict.vectors import finished
from albert.serve.core.admission import Admission
from albert.serve.core.call import Call
from albert.serve.core.desk import Desk
from albert.serve.core.documents import Documents
from albert.serve.core.hosted import Hosted, HostedWriter, Source
from albert.serve.core.keys import Keys, RateLimit
from albert.serve.core.limits import Limits
from albert.serve.core.logs import log
from albert.serve.core.memory import keep_small
from albert.serve.core.metrics import Metrics
from albert.serve.core.queue import ComputeQueue
from albert.serve.core.refusals import Reason, Refusal, expired, invalid, not_found, too_large, unavailable
from albert.tasks.base import Output

_PORTION = 16_384  # characters that are tokenised in one go; this limits how long others wait
_SHORT = 1000  # characters of a text whose tokenising takes less time than handing it to a thread and back
_FIRST_FORWARD = 120.0  # seconds, for the largest models on the slowest machines
_WORKERS = 4  # the default limit of batches at once, because they share one interpreter
_LABEL_SETS = 8  # the most sets of labels of each model whose vectors are kept
_FRESH = 1.0  # seconds for which a result of `health` is reused
Loader = Callable[[Source], Hosted]
Result = TypeVar("Result")


class Service:
    """Models by name behind one queue. The first model is the default.

    `workers` batches are computed at once, by default one per core and at most four. The cores are divided among them.
    """

    def __init__(
        self,
        models: Sequence[Hosted],
        *,
        limits: Limits | None = None,
        keys: Keys | None = None,
        rate: RateLimit | None = None,
        load: Loader = Hosted.load,
        workers: int | None = None,
        documents: Documents | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.keys = keys
        self.documents = documents
        self.rate = rate
        self.models = {model.name: model for model in models}
        self.default = models[0].name
        cores = torch.get_num_threads()
        workers = workers or min(cores, _WORKERS)
        self.queue = ComputeQueue(self.limits, self.metrics, workers=workers, threads=max(cores // workers, 1))
        self.desk = Desk(self.limits, self.queue)
        self.draining = False
        self.admission = Admission(self.limits)
        self.metrics.watch(self.admission)
        self.held = 0  # bytes of all bodies in memory
        self.accepted = 0
        self.answered = 0
        self._load = load
        self._refusals = 0  # since the last log line about refusals
        self._told = -np.inf
        self._tasks: list[asyncio.Task[None]] = []
        self._text = ThreadPoolExecutor(2, "text")
        self._reloading = asyncio.Lock()
        self._healthy: tuple[float, Refusal | None] = (-np.inf, None)
        self._probing: asyncio.Task[Refusal | None] | None = None

    async def start(self) -> None:
        """Starts computing, and computes once with each model to measure its speed."""
        self.queue.start()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self.admission.listen()),
            loop.create_task(keep_small(lambda: self.answered)),
        ]
        for model in self.models.values():
            await self._try(model, _FIRST_FORWARD)

    async def stop(self) -> None:
        """Stops all work."""
        for task in self._tasks:
            task.cancel()
        await self.queue.stop()
        self._text.shutdown(wait=False, cancel_futures=True)

    @property
    def under_way(self) -> int:
        """The number of inference requests without an answer yet."""
        return self.admission.under_way

    def refused(self) -> None:
        """Counts a refusal because of overload, and logs the count once a second."""
        self._refusals += 1
        if time.monotonic() - self._told > 1:
            log("warning", "overloaded", refused=self._refusals, under_way=self.under_way,
                limit=int(self.admission.limit), lag=round(self.admission.lag, 4))  # fmt: skip
            self._refusals, self._told = 0, time.monotonic()

    def model(self, name: str | None) -> Hosted:
        """The model of this name. None is the default model. If only one model is served, any name means that one.

        Raises `Refusal` (not found).
        """
        try:
            return self.models[self.default if name is None or len(self.models) == 1 else name]
        except KeyError:
            raise not_found("no such model; GET /info lists them") from None

    # --- work ------------------------------------------------------------------------------------------

    async def text(self, call: Call, function: Callable[..., Result], *arguments: Any) -> Result:
        """Does work on a request's texts: in a thread, except for a single short text."""
        if call.inputs <= 1 and call.characters <= _SHORT:
            return function(*arguments)
        return await self.in_thread(call, function, *arguments)

    async def in_thread(self, call: Call, function: Callable[..., Result], *arguments: Any) -> Result:
        """Does work off the event loop. Raises `Refusal` (expired) when it is not done by the deadline."""
        try:
            async with asyncio.timeout(call.left):
                return await asyncio.get_running_loop().run_in_executor(self._text, function, *arguments)
        except TimeoutError:
            raise expired() from None

    def measure(self, call: Call, texts: Sequence[str], length: int) -> None:
        """Counts inputs and characters. Raises `Refusal` (too large) beyond the limits."""
        limit = self.limits.characters_a_piece * length
        if any(len(text) > limit for text in texts):
            raise too_large(f"a text has more than {limit:,} characters")
        call.characters += sum(map(len, texts))

    def measure_pieces(self, pieces: int) -> None:
        """Raises `Refusal` (too large) when an answer with an entry per piece would have too many entries."""
        if pieces > self.limits.max_pieces:
            raise too_large(f"the texts have more than {self.limits.max_pieces:,} pieces together")

    def count(self, call: Call, inputs: int) -> None:
        """Counts the inputs. Raises `Refusal` for none (invalid) and for too many (too large)."""
        if not inputs:
            raise invalid("inputs: expected at least one")
        if inputs > self.limits.max_inputs:
            raise too_large(f"{inputs} inputs, the maximum is {self.limits.max_inputs}")
        call.inputs = inputs
        call.method = "single" if inputs == 1 else "batch"

    async def encoded(
        self,
        call: Call,
        items: Sequence[Any],
        lengths: Sequence[int],
        encode: Callable[[Sequence[Any]], tuple[Features, int]],
    ) -> Features:
        """The rows of all items. They are tokenised in portions, so that a large request does not stop the others."""
        begun = time.monotonic()
        parts = []
        for portion in _portions(items, lengths):
            features, cut = await self.text(call, encode, portion)
            call.cut += cut
            parts.append(features)
            _ = call.left  # a request past its deadline is not tokenised further
        features = parts[0] if len(parts) == 1 else Features.join(parts)
        call.tokens += len(features.ids)
        call.tokenizing += time.monotonic() - begun
        return features

    async def outputs(
        self, call: Call, model: Hosted, examples: Sequence[Example], *, truncate: bool | None = None,
        piecewise: bool = False,
    ) -> list[Output]:  # fmt: skip
        """The output of the model's head for each example. `piecewise`: the answer has an entry per piece.

        Raises `Refusal` (too large) if a text was cut and `truncate` is False, and for too many pieces.
        """
        if isinstance(model, HostedWriter):
            draft = await self.draft(call, model, examples, truncate=truncate)
            await self.desk.write(model, draft, call)
            return draft.outputs(examples)
        self._take(call, model, examples)
        words = model.predictor.words
        read = None if words is None else await self.text(call, words.read, examples)
        rest = examples if read is None else read.rest
        rows: list[np.ndarray] = []
        features = Features.build([])
        if rest:
            features = await self._examples(call, model, rest, truncate)
            if piecewise:
                self.measure_pieces(call.tokens)
            rows = await self.queue.run(model.logits_lane, features, call)
        outputs = model.outputs(rest, features, rows)
        return outputs if read is None else read.joined(outputs)

    async def draft(
        self, call: Call, model: HostedWriter, examples: Sequence[Example], *,
        options: GenerationOptions = GREEDY, count: int = 1, truncate: bool | None = None,
    ) -> Draft:  # fmt: skip
        """Up to `count` texts for each example, to be written at the desk.

        Raises `Refusal` (too large) if a text was cut and `truncate` is False, (invalid) for options that do not fit.
        """
        self._take(call, model, examples)
        return model.draft(await self._examples(call, model, examples, truncate), options, count)

    def _take(self, call: Call, model: Hosted, examples: Sequence[Example]) -> None:
        """Counts and measures the examples. Raises `Refusal` beyond the limits."""
        self.count(call, len(examples))
        self.measure(call, [text for example in examples for text in _texts(example)], model.max_length)

    async def _examples(
        self, call: Call, model: Hosted, examples: Sequence[Example], truncate: bool | None
    ) -> Features:
        """The rows of the examples. Raises `Refusal` (too large) if a text was cut and `truncate` is False."""
        lengths = [sum(map(len, _texts(example))) for example in examples]
        features = await self.encoded(call, examples, lengths, model.encode)
        _require_uncut(call, model, truncate)
        return features

    async def vectors(
        self, call: Call, model: Hosted, texts: Sequence[str], *, truncate: bool | None = None, normalize: bool = True,
        counted: bool = True, dimensions: int | None = None,
    ) -> np.ndarray:  # fmt: skip
        """One vector per text, [texts, hidden] float32. With `normalize` each has length 1.

        `dimensions` keeps only the first numbers of a vector. With `counted`, at most `max_inputs` texts are allowed.
        Raises `Refusal` (invalid) for more dimensions than a vector has.
        """
        if dimensions is not None and dimensions > model.config.hidden_size:
            raise invalid(f"dimensions: expected 1 to {model.config.hidden_size}")
        if counted:
            self.count(call, len(texts))
        self.measure(call, texts, model.max_length)
        features = await self.encoded(call, texts, [len(text) for text in texts], model.encode_texts)
        _require_uncut(call, model, truncate)
        found = await self.queue.run(model.vectors_lane, features, call)
        return finished(found, normalize=normalize, dimensions=dimensions)

    async def label_vectors(
        self, call: Call, model: Hosted, labels: Sequence[str], *, truncate: bool | None = None
    ) -> np.ndarray:
        """As `vectors`. Those of the last sets of labels are kept, because requests ask for the same labels again."""
        kept, key, cut = model.label_vectors, tuple(labels), call.cut
        if (found := kept.pop(key, None)) is None:
            found = await self.vectors(call, model, labels, truncate=truncate, counted=False)
            if call.cut > cut:
                return found  # not kept: another request may refuse labels that are cut
        kept[key] = found
        if len(kept) > _LABEL_SETS:
            del kept[next(iter(kept))]
        return found

    # --- readiness and reload --------------------------------------------------------------------------

    async def health(self) -> None:
        """Runs a forward of each model through the queue, with a deadline. The result is reused for a second.

        Raises `Refusal` (unavailable).
        """
        if self.draining:
            raise unavailable("stopping")
        when, refusal = self._healthy
        if time.monotonic() - when > _FRESH:
            if self._probing is None or self._probing.done():  # one check for all clients that ask
                self._probing = asyncio.get_running_loop().create_task(self._probe())
            refusal = await asyncio.shield(self._probing)
        if refusal is not None:
            raise refusal

    async def _probe(self) -> Refusal | None:
        found: Refusal | None = None
        try:
            for model in list(self.models.values()):
                await self._try(model, self.limits.health_timeout)
        except Refusal as error:
            late = error.reason is Reason.EXPIRED
            found = unavailable("a forward was not done in time" if late else "a forward failed")
        self._healthy = time.monotonic(), found
        return found

    async def _try(self, model: Hosted, seconds: float) -> None:
        call = Call("probe", time.monotonic() + seconds)
        features, _ = await self.text(call, model.encode_texts, ["Is it well?"])
        await self.queue.run(model.probe_lane, features, call, probe=True)

    async def reload(self) -> dict[str, str]:
        """Reads, verifies and tries every model anew, then swaps all of them. If one fails, all old models stay.

        Returns the fingerprints by name. Raises `Refusal` (conflict); the log has the reason.
        """
        if self._reloading.locked():
            raise Refusal(Reason.CONFLICT, "a reload is under way")
        async with self._reloading:
            fresh = {}
            for name, model in self.models.items():
                try:
                    loaded = await asyncio.to_thread(self._load, model.source)
                    await self._try(loaded, _FIRST_FORWARD)
                except (AlbertError, Refusal, OSError, MemoryError, RuntimeError, ValueError) as error:
                    log("error", "reload refused", model=name, reason=str(error))
                    raise Refusal(Reason.CONFLICT, f"model {name} was not reloaded; the old ones stay") from None
                fresh[name] = loaded
            self.models = fresh
            del model, loaded
            gc.unfreeze()
            await asyncio.to_thread(gc.collect)  # frees the old models now, before more gather
            told = {name: model.fingerprint for name, model in fresh.items()}
            log("info", "reloaded", models=told)
            return told


def _texts(example: Example) -> list[str]:
    return [example.text, example.text_pair or "", *example.choices]


def _require_uncut(call: Call, model: Hosted, truncate: bool | None) -> None:
    if call.cut and truncate is False:
        raise too_large(f"a text has more than {model.max_length} tokens; truncate: true cuts it")


def _portions(items: Sequence[Any], lengths: Sequence[int]) -> list[Sequence[Any]]:
    portions, start, size = [], 0, 0
    for place, length in enumerate(lengths):
        if size + length > _PORTION and place > start:
            portions.append(items[start:place])
            start, size = place, 0
        size += length
    return [*portions, items[start:]]
