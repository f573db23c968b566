"""`albert fill-mask`: what a pre-trained model expects at [MASK]."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from albert.cli.options import AsJson, Model, Precision

if TYPE_CHECKING:
    from albert.predict.pretrained import PretrainedModel

_PORTION = 256  # texts filled together


def fill_mask(
    model: Model,
    texts: Annotated[list[str], typer.Argument(help="Texts with [MASK]; - reads one a line from stdin.")],
    top_k: Annotated[int, typer.Option(min=1, max=1_000_000, help="Pieces for each mask.")] = 5,
    precision: Precision = "auto",
    json: AsJson = False,
) -> None:
    """Fill the masks of texts with the likeliest pieces, as /fill-mask does."""
    from albert.predict.pretrained import PretrainedModel

    filler = PretrainedModel.load(model, precision=precision)  # type: ignore[arg-type]
    given = _texts(texts)
    while portion := list(islice(given, _PORTION)):
        for (_, text), masks in zip(portion, _filled(filler, portion, top_k), strict=True):
            _print(text, masks, as_json=json)
        sys.stdout.flush()


def _texts(texts: list[str]) -> Iterator[tuple[str, str]]:
    """(what to call it in an error, text)."""
    from albert.data.reading import DataSource
    from albert.data.tables import Table

    if texts != ["-"]:
        yield from ((f"text {number}", text) for number, text in enumerate(texts, 1))
        return
    for row in Table(DataSource("-", format="lines", header=False)):
        if text := row.values["text"].strip():
            yield f"-:{row.number}", text


def _filled(filler: PretrainedModel, portion: list[tuple[str, str]], top_k: int) -> list[Any]:
    """What `fill_mask` gives of each text. Raises `AlbertError` (bad-data) that names the first bad one."""
    from albert.errors import AlbertError
    from albert.text.hardening.hardener import SURROGATE, invalid_unicode

    for place, text in portion:
        try:
            if SURROGATE.search(text):
                raise invalid_unicode(text)
            filler.masked(text)
        except AlbertError as error:
            raise AlbertError(
                error.kind, f"{place}: {error.what}", expected=error.expected, got=error.got, hint=error.hint
            ) from None
    return filler.fill_mask([text for _, text in portion], top_k=top_k)


def _print(text: str, masks: list[Any], *, as_json: bool) -> None:
    """A line of JSON, as the endpoint answers; or for people the text, then each mask's pieces."""
    if as_json:
        from json import dumps

        print(dumps(masks, ensure_ascii=False))
        return
    print(text)
    for number, pieces in enumerate(masks if isinstance(masks[0], list) else [masks], 1):
        for piece in pieces:
            mask = f"{number}  " if isinstance(masks[0], list) else ""
            print(f"  {mask}{piece['score']:.4f}  {piece['token_str']}")
