"""The endpoints. Each finds its model, has rows computed through the queue, and gives the answer its shape."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic_core import to_json

from albert.data.batches import Features
from albert.data.examples import Example
from albert.documents.summaries import telling
from albert.errors import AlbertError
from albert.predict.labelling import named_labels, nearest
from albert.predict.mask_predict import Filling, Masked
from albert.predict.rank import cosines, pair_scores, ranked
from albert.predict.summary import Sentence, sentences
from albert.predict.vectors import as_lists
from albert.serve.core.call import Call
from albert.serve.core.hosted import Hosted
from albert.serve.core.refusals import invalid, too_large
from albert.serve.core.service import Service
from albert.serve.http import schemas as shape
from albert.serve.http.guard import CALL, JSON
from albert.serve.http.texts import Said
from albert.tasks import DecodeOptions
from albert.version import __version__

WORK = frozenset(
    {
        "/",
        "/predict",
        "/embed",
        "/rerank",
        "/similarity",
        "/classify",
        "/tokenize",
        "/answer",
        "/entities",
        "/fill-mask",
    }
    | {"/summarize", "/v1/embeddings", "/v1/moderations"}
)
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": shape.Error, "description": what}
    for status, what in (
        (401, "No valid key"),
        (403, "Not allowed with this key, or under this host name"),
        (404, "The path or model does not exist"),
        (408, "The body arrived too slowly"),
        (409, "The models were not reloaded"),
        (413, "More than a limit allows"),
        (415, "Not JSON"),
        (422, "The endpoint cannot read the request"),
        (424, "The model cannot do this, or it failed"),
        (429, "Overloaded: try again after Retry-After"),
        (503, "Not ready, or stopping"),
        (504, "Not done in time"),
    )
}


class _Read(Request):
    """A request whose JSON the guard has already parsed."""

    async def json(self) -> Any:
        return self.scope[JSON] if JSON in self.scope else await super().json()


class ReadRoute(APIRoute):
    """A route that does not parse the body again."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, called with the JSON that the guard has parsed."""
        handle = super().get_route_handler()

        async def read(request: Request) -> Response:
            return await handle(_Read(request.scope, request.receive))

        return read


router = APIRouter(route_class=ReadRoute, responses=ERRORS)


def service_of(request: Request) -> Service:
    """The service behind the application."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


def model_of(request: Request, name: str | None) -> Hosted:
    """The model that the path names, else the model `name`. Raises `Refusal` (404) for an unknown one."""
    call = request.scope[CALL]
    model = service_of(request).model(call.model or name)
    call.model = model.name
    return model


def model_for(request: Request, name: str | None, ability: str) -> tuple[Service, Call, Hosted]:
    """Raises `Refusal`: 404 for an unknown model, 424 for a model without this endpoint."""
    model = model_of(request, name)
    model.require(ability)
    return service_of(request), request.scope[CALL], model


def answer(value: Any) -> Response:
    """A value as a JSON response."""
    return Response(to_json(value), media_type="application/json")


def _json_of(function: Callable[..., Any], *arguments: Any) -> bytes:
    """The JSON of the function's result, made in the same thread, so that nothing else of the result is kept."""
    return to_json(function(*arguments))


def listed(inputs: str | list[str]) -> list[str]:
    """The texts of a request, also if there is a single one."""
    return [inputs] if isinstance(inputs, str) else inputs


# --- text-embeddings-inference ---------------------------------------------------------------------------


@router.post("/embed", response_model=list[list[float]])
async def embed(body: shape.EmbedRequest, request: Request) -> Response:
    """A vector for each text, of length 1 unless `normalize` is false."""
    service, call, model = model_for(request, body.model, "embed")
    texts = listed(body.inputs)
    table = await service.vectors(
        call, model, texts, truncate=body.truncate, normalize=body.normalize, dimensions=body.dimensions
    )
    return answer(await service.text(call, as_lists, table))


@router.post("/predict", response_model=list[Said] | list[list[Said]])
async def predict(body: shape.PredictRequest, request: Request) -> Response:
    """Every label with its score, best first: for a text, a pair [a, b], or each item of a batch [[a], [b, c]]. A model
    that writes gives its text.
    """
    scores, single = await label_scores(body, request, raw=body.raw_scores)
    return answer(scores[0] if single else scores)


async def label_scores(
    body: shape.PredictRequest, request: Request, *, raw: bool
) -> tuple[list[list[dict[str, Any]]], bool]:
    """The labels of each input with their scores (logits with `raw`), and whether there is a single input."""
    service, call, model = model_for(request, body.model, "predict")
    if isinstance(body.inputs, str):
        single, sequences = True, [[body.inputs]]
    else:
        single = isinstance(body.inputs[0], str)
        sequences = [body.inputs] if single else body.inputs  # type: ignore[assignment,list-item]
    examples = [Example(texts[0], texts[1] if len(texts) == 2 else None) for texts in sequences]
    outputs = await service.outputs(call, model, examples, truncate=body.truncate)
    return await service.text(call, lambda: model.scores(outputs, raw=raw)), single


@router.post("/rerank", response_model=list[shape.Rank], response_model_exclude_none=True)
async def rerank(body: shape.RerankRequest, request: Request) -> Response:
    """The texts by how well they fit the query, best first.

    A cross-encoder scores each pair by its number (through the sigmoid unless `raw_scores`). Other models score by the
    cosine of the vectors.
    """
    service, call, model = model_for(request, body.model, "rerank")
    service.count(call, len(body.texts))
    if model.embeds:
        table = await service.vectors(call, model, [body.query, *body.texts], truncate=body.truncate, counted=False)
        scores = cosines(table[0], table[1:])
    else:
        pairs = [Example(body.query, text) for text in body.texts]
        outputs = await service.outputs(call, model, pairs, truncate=body.truncate)
        scores = pair_scores(outputs, raw=body.raw_scores)
    return answer(ranked(scores, body.texts if body.return_text else None))


@router.post("/similarity", response_model=list[float])
async def similarity(body: shape.SimilarityRequest, request: Request) -> Response:
    """The cosine of each sentence with the source sentence."""
    service, call, model = model_for(request, body.model, "similarity")
    service.count(call, len(body.inputs.sentences))
    texts = [body.inputs.source_sentence, *body.inputs.sentences]
    table = await service.vectors(call, model, texts, truncate=body.truncate, counted=False)
    return answer(cosines(table[0], table[1:]).astype(float).tolist())


@router.post("/classify", response_model=list[shape.Prediction] | list[list[shape.Prediction]])
async def classify(body: shape.ClassifyRequest, request: Request) -> Response:
    """The request's own labels for each text, by the cosine of their vectors, best first. No training is needed."""
    service, call, model = model_for(request, body.model, "classify")
    try:
        labels = named_labels(body.labels)
    except AlbertError as error:
        raise invalid(f"labels: expected {error.expected}") from None
    if len(labels) > service.limits.max_labels:
        raise too_large(f"{len(labels)} labels, the maximum is {service.limits.max_labels}")
    texts = listed(body.inputs)
    service.count(call, len(texts))
    names = await service.label_vectors(call, model, list(labels.values()), truncate=body.truncate)
    table = await service.vectors(call, model, texts, truncate=body.truncate, counted=False)
    found = await service.text(call, nearest, list(labels), names, table)
    return answer(found[0] if isinstance(body.inputs, str) else found)


@router.post("/tokenize", response_model=list[list[shape.Token]])
async def tokenize(body: shape.TokenizeRequest, request: Request) -> Response:
    """The pieces of each text with the characters that they came from, uncut."""
    service, call, model = model_for(request, body.model, "tokenize")
    texts = listed(body.inputs)
    service.count(call, len(texts))
    service.measure(call, texts, model.max_length)
    told = []
    for text in texts:
        pieces = (await service.text(call, model.tokenizer.pieces, [text]))[0]
        call.tokens += len(pieces)
        service.measure_pieces(call.tokens)
        told.append(await service.text(call, _json_of, model.tokens, text, pieces, body.add_special_tokens))
    return Response(b"[" + b",".join(told) + b"]", media_type="application/json")


@router.get("/info", response_model=shape.Info)
async def info(request: Request, model: str | None = None) -> Response:
    """The model, the server's limits, and the names of all endpoints and models."""
    service = service_of(request)
    found, limits = service.model(request.scope[CALL].model or model), service.limits
    return answer(
        {
            "model_id": found.name,
            "model_sha": found.fingerprint or None,
            "model_dtype": found.precision,
            "model_type": found.kind(),
            "max_concurrent_requests": limits.max_requests,
            "max_input_length": found.max_length,
            "max_batch_tokens": limits.batch_tokens,
            "max_batch_requests": None,
            "max_client_batch_size": limits.max_inputs,
            "auto_truncate": True,
            "tokenization_workers": 2,
            "version": __version__,
            "sha": None,
            "docker_label": None,
            "task": found.task,
            "endpoints": sorted(found.endpoints()),
            "labels": list(found.config.id2label),
            "models": list(service.models),
        }
    )


# --- OpenAI ----------------------------------------------------------------------------------------------


@router.post("/v1/embeddings", response_model=shape.Embeddings)
async def embeddings(body: shape.EmbeddingsRequest, request: Request) -> Response:
    """OpenAI's embeddings, as lists of numbers or base64 of float32."""
    service, call, model = model_for(request, body.model, "embed")
    table = await service.vectors(call, model, listed(body.input), dimensions=body.dimensions)
    vectors = (
        [base64.b64encode(row.tobytes()).decode() for row in table] if body.encoding_format == "base64"
        else await service.text(call, as_lists, table)
    )  # fmt: skip
    data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    usage = {"prompt_tokens": call.tokens, "total_tokens": call.tokens}
    return answer({"object": "list", "data": data, "model": model.name, "usage": usage})


@router.post("/v1/moderations", response_model=shape.Moderations)
async def moderations(body: shape.ModerationsRequest, request: Request) -> Response:
    """OpenAI's moderations. A text is flagged if it gets a label other than those that mean "nothing is wrong"."""
    service, call, model = model_for(request, body.model, "moderations")
    outputs = await service.outputs(call, model, [Example(text) for text in listed(body.input)])
    results = await service.text(call, model.moderated, outputs)
    return answer({"id": f"modr-{call.id}", "model": model.name, "results": results})


# --- our own ---------------------------------------------------------------------------------------------


@router.post("/answer", response_model=list[shape.Answer], response_model_exclude_none=True)
async def answers(body: shape.AnswerRequest, request: Request) -> Response:
    """The answer to the question: a part of the context, or the best of the `choices`. Gives the `top_k` best."""
    service, call, model = model_for(request, body.model, "answer")
    if model.chooses != (body.choices is not None):
        raise invalid("choices: this model needs at least two" if model.chooses else "choices: this model takes none")
    if body.choices is not None and not 2 <= len(body.choices) <= service.limits.max_inputs:
        raise invalid(f"choices: expected 2 to {service.limits.max_inputs}")
    example = (
        Example(body.question, body.context) if body.choices is None
        else Example(body.context, body.question, choices=tuple(body.choices))
    )  # fmt: skip
    outputs = await service.outputs(call, model, [example])
    options = DecodeOptions(top_k=body.top_k, max_answer=body.max_answer, no_answer=body.handle_impossible_answer)
    return answer((await service.text(call, model.decode, outputs, options))[0])


@router.post("/entities", response_model=list[shape.Entity] | list[list[shape.Entity]])
async def entities(body: shape.EntitiesRequest, request: Request) -> Response:
    """The entities of a text in its order. A list of texts gets a list for each text."""
    service, call, model = model_for(request, body.model, "entities")
    examples = [Example(text) for text in listed(body.inputs)]
    outputs = await service.outputs(call, model, examples, truncate=body.truncate, piecewise=True)
    found = await service.text(call, model.decode, outputs, DecodeOptions(aggregation=body.aggregation))
    return answer(found[0] if isinstance(body.inputs, str) else found)


@router.post("/fill-mask", response_model=list[Any] | shape.FilledText)
async def fill_mask(body: shape.FillMaskRequest, request: Request) -> Response:
    """The most likely pieces at [MASK], best first. Several masks get a list each, and so do several texts.

    With `steps` all masks of a text are filled together, and it comes back whole.
    """
    service, call, model = model_for(request, body.model, "fill-mask")
    texts = listed(body.inputs)
    service.count(call, len(texts))
    service.measure(call, texts, model.max_length)
    filled = (1 if body.steps else body.top_k) * sum(len(text) * text.count(model.tokenizer.mask) for text in texts)
    if filled > service.limits.max_filled:
        raise too_large(f"top_k texts for each mask have more than {service.limits.max_filled:,} characters together")
    features, places = await service.text(call, model.masked, texts)
    if body.steps:
        answers = await _together(service, call, model, texts, places, body.steps)
        return answer(answers[0] if isinstance(body.inputs, str) else answers)
    call.tokens += len(features.ids)
    hidden = await service.queue.run(model.states_lane, features, call)
    answers = [
        await service.in_thread(call, model.fill, text, place, states, body.top_k)
        for text, place, states in zip(texts, places, hidden, strict=True)
    ]
    return answer(answers[0] if isinstance(body.inputs, str) else answers)


async def _together(
    service: Service, call: Call, model: Hosted, texts: Sequence[str], places: Sequence[Masked], steps: int
) -> list[dict[str, Any]]:  # fmt: skip
    """Each text with its masks filled, step by step through the queue."""
    every = [Filling(text, place, model.tokenizer, steps) for text, place in zip(texts, places, strict=True)]
    while rows := [one for one in every if not one.done]:
        features = await service.text(call, Features.build, [one.row for one in rows])
        call.tokens += len(features.ids)
        for one, states in zip(rows, await service.queue.run(model.states_lane, features, call), strict=True):
            await service.in_thread(call, model.choose, one, states)
    return [one.result() for one in every]


@router.post("/summarize", response_model=shape.Summary)
async def summarized(body: shape.SummarizeRequest, request: Request) -> Response:
    """The most central sentences of a text, in its order, chosen by the vectors of all its sentences."""
    service, call, model = model_for(request, body.model, "summarize")
    service.measure(call, [body.inputs], model.max_length)
    parts = await service.text(call, sentences, body.inputs)
    if len(parts) > service.limits.max_sentences:
        raise too_large(f"the text has more than {service.limits.max_sentences:,} sentences")
    chosen: list[Sentence] = []
    if parts:
        subject = [body.focus] if body.focus.strip() else []
        table = await service.vectors(call, model, [*(part.text for part in parts), *subject], counted=False)
        vectors, focus = table[: len(parts)], table[-1] if subject else None
        choose = partial(telling, parts, vectors, count=body.sentences, share=body.share, focus=focus)
        chosen = await service.text(call, choose)
    told: Sequence[dict[str, Any]] = [
        {"text": part.text, "start": part.start, "end": part.end, "score": part.score} for part in chosen
    ]
    return answer({"summary": " ".join(part.text for part in chosen), "sentences": told})


# --- about the server ------------------------------------------------------------------------------------


@router.get("/health", response_class=Response)
async def health(request: Request) -> Response:
    """Whether the server is ready: a forward through the queue must come back in time."""
    await service_of(request).health()
    return Response()


@router.get("/live", response_class=Response)
async def live() -> Response:
    """Whether the process answers at all."""
    await asyncio.sleep(0)
    return Response()


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Metrics for Prometheus."""
    return Response(service_of(request).metrics.render(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.post("/admin/reload", response_model=dict[str, dict[str, str]])
async def reload(request: Request) -> Response:
    """Reads the model folders anew. They are verified and tried before they replace the old ones. Needs an
    administrator's key.
    """
    return answer({"models": await service_of(request).reload()})
