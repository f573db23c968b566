"""Requests to the server's base URL. Their shape and the model decide which endpoint answers.

text-embeddings-inference serves its model's task there. InferenceClient of huggingface_hub sends every task there, with
options in `parameters`, and expects the answers of Hugging Face's own servers.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from albert.serve.core.hosted import Hosted
from albert.serve.core.refusals import invalid, unsupported
from albert.serve.http import generation, routes
from albert.serve.http import schemas as shape
from albert.serve.http.texts import GenerateRequest

router = APIRouter(route_class=routes.ReadRoute, responses=routes.ERRORS)
# For each task, the allowed `parameters` and the fields of our requests that they set.
_PARAMETERS: dict[str, dict[str, str]] = {
    "predict": {"top_k": "top_k", "function_to_apply": "function"},
    "fill-mask": {"top_k": "top_k"},
    "entities": {"aggregation_strategy": "aggregation"},
    "answer": {
        "top_k": "top_k", "max_answer_len": "max_answer", "handle_impossible_answer": "handle_impossible_answer",
    },
    "embed": {name: name for name in ("normalize", "truncate", "truncation_direction", "dimensions", "prompt_name")},
    "similarity": {},
    "rerank": {},
    "classify": {name: name for name in ("candidate_labels", "hypothesis_template", "multi_label")},
    "generate": {
        "max_new_tokens": "max_length", "num_beams": "beam", "do_sample": "sample", "temperature": "temperature",
        "top_k": "sampling_top_k", "top_p": "top_p", "seed": "seed", "no_repeat_ngram_size": "no_repeat_ngram",
        "repetition_penalty": "repetition_penalty", "num_return_sequences": "top_k", "min_length": "min_length",
        "max_length": "max_length",
    },
}  # fmt: skip
_TEXT = ("generated_text", "translation_text", "summary_text")  # where they look for a text, by their task
# Parameters of Hugging Face's clients that a refusal may name; it repeats nothing else of a request.
_OTHERS = frozenset(
    {"align_to_words", "doc_stride", "ignore_labels", "max_question_len", "max_seq_len", "padding", "stride", "targets"}
)


@router.post("/", response_model=Any)
async def any_task(body: shape.AnyRequest, request: Request) -> Response:
    """The request of another endpoint, chosen by its shape and the model's task. `parameters` are options as Hugging
    Face's InferenceClient sends them.
    """
    model = routes.model_of(request, body.model)
    ability = _ability(body, model)
    sent = body.model_dump(exclude={"parameters"}, exclude_unset=True)
    fields = {**sent, **_options(ability, body.parameters or {})}
    match ability:
        case "generate":
            return await _texts(fields, request, named=body.parameters is not None)
        case "predict":
            return await _labels(fields, request, nested=body.parameters is not None)
        case "embed":
            return await routes.embed(_read(shape.EmbedRequest, fields), request)
        case "similarity":
            return await routes.similarity(_read(shape.SimilarityRequest, fields), request)
        case "classify":
            return await routes.classify(_named(fields), request)
        case "rerank":
            return await routes.rerank(_read(shape.RerankRequest, fields), request)
        case "entities":
            return await routes.entities(_read(shape.EntitiesRequest, fields), request)
        case "fill-mask":
            return await routes.fill_mask(_read(shape.FillMaskRequest, fields), request)
    inputs = fields.pop("inputs")
    return await routes.answers(_read(shape.AnswerRequest, {**inputs, **fields}), request)


def _ability(body: shape.AnyRequest, model: Hosted) -> str:
    """The endpoint of this request. Raises `Refusal` (424) when the model has no such endpoint."""
    inputs = body.inputs
    if body.query is not None:
        return "rerank"
    if "candidate_labels" in (body.parameters or {}):
        return "classify"
    if isinstance(inputs, dict):
        return "similarity" if "source_sentence" in inputs else "answer"
    if "fill-mask" in model.abilities and (body.parameters is not None or _has_masks(inputs, model.tokenizer.mask)):
        return "fill-mask"
    found = next((name for name in ("generate", "predict", "entities", "embed") if name in model.abilities), None)
    if found is None:
        raise unsupported(f"model {model.name} needs more than a text; it answers at /{min(model.abilities)}")
    return found


def _has_masks(inputs: Any, mask: str) -> bool:
    """Whether each text has a [MASK] to fill."""
    texts = inputs if isinstance(inputs, list) else [inputs]
    return bool(texts) and all(isinstance(text, str) and mask in text for text in texts)


def _options(ability: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """`parameters` under our names. Raises `Refusal` (422) for a parameter that would be ignored."""
    known = _PARAMETERS[ability]
    inner = parameters.get("generate_parameters")
    if ability == "generate" and isinstance(inner, dict):
        parameters = {**parameters, **inner, "generate_parameters": None}
    given = {name: value for name, value in parameters.items() if value is not None}
    if unknown := sorted(given.keys() - known.keys()):
        name = next((name for name in unknown if name in _OTHERS), "one of them")
        raise invalid(f"parameters: {name} is no option of /{ability}; it has {', '.join(known) or 'none'}")
    return {known[name]: value for name, value in given.items()}


async def _labels(fields: dict[str, Any], request: Request, *, nested: bool) -> Response:
    """Labels with scores. Hugging Face's servers put those of a single text in a list of their own."""
    options = _read(shape.LabelOptions, {name: fields.pop(name) for name in ("top_k", "function") if name in fields})
    if nested and isinstance(fields.get("inputs"), list):  # in their requests a list holds texts, not a pair
        fields["inputs"] = [[text] if isinstance(text, str) else text for text in fields["inputs"]]
    body = _read(shape.PredictRequest, fields)
    raw = body.raw_scores or options.function is not None
    scores, single = await routes.label_scores(body, request, raw=raw)
    scores = [options.applied(row)[: options.top_k] for row in scores]
    return routes.answer(scores[0] if single and not nested else scores)


def _named(fields: dict[str, Any]) -> shape.ClassifyRequest:
    """The labels of Hugging Face's clients, which may stand in a template. Each has a score of its own in any case."""
    options = _read(shape.NamedLabels, fields)
    body = _read(shape.ClassifyRequest, {**fields, "labels": options.labels})
    assert isinstance(body, shape.ClassifyRequest)
    return body


async def _texts(fields: dict[str, Any], request: Request, *, named: bool) -> Response:
    """Texts that are written. Hugging Face's servers name a text by their task, and give one for each of a list."""
    body = _read(GenerateRequest, fields)
    if body.stream or not named:
        return await generation.generate(body, request)
    found = await generation.texts(body, request)
    best = found if isinstance(body.inputs, str) else [texts[0] for texts in found]
    return routes.answer([{**each, **dict.fromkeys(_TEXT, each["text"])} for each in best])


def _read(kind: type[BaseModel], fields: dict[str, Any]) -> Any:
    """The fields as a request of an endpoint. Wrong fields are reported as there."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
