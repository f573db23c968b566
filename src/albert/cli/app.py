"""The command line: its verbs, a file each."""

from __future__ import annotations

from typing import Annotated

import typer

from albert.cli import (
    check,
    classify,
    convert,
    demo,
    distill,
    doctor,
    documents,
    embed,
    evaluate,
    export,
    fill_mask,
    generate,
    lengthen,
    moderate,
    predict,
    prepare,
    pretrain,
    rerank,
    serve,
    settings,
    summarize,
    tokenizer,
    train,
)
from albert.version import __version__

VERBS = (
    check.check,
    train.train,
    distill.distill,
    pretrain.pretrain,
    evaluate.evaluate,
    export.export,
    convert.convert,
    lengthen.lengthen,
    predict.predict,
    generate.generate,
    generate.translate,
    classify.classify,
    embed.embed,
    rerank.rerank,
    moderate.moderate,
    fill_mask.fill_mask,
    prepare.prepare,
    serve.serve,
    serve.serve_key,
    demo.demo,
    doctor.doctor,
    settings.settings,
    documents.index,
    documents.search,
    documents.ask,
    documents.chat,
    documents.mcp,
    summarize.summarize,
)

app = typer.Typer(
    help="ALBERT, the lite BERT: train, evaluate and predict on ordinary machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(tokenizer.app, name="tokenizer")
for verb in VERBS:
    app.command()(verb)


def _version(value: bool) -> None:
    if value:
        print(f"albert {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
