"""The options that verbs share. A data option stands here and in `DataSource`, and all verbs that read data have it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer

from albert.data import reading
from albert.tasks import NAMES

Verb = TypeVar("Verb", bound=Callable[..., None])


def one_of(names: Sequence[str]) -> str:
    """ "a, b or c": the entries of a registry in a help text."""
    return ", ".join(names[:-1]) + f" or {names[-1]}" if len(names) > 1 else names[0]


# By the names of `DataSource`'s fields, whose defaults they have.
DATA: dict[str, Any] = {
    "text": Annotated[str | None, typer.Option("--text", help="Column of the text.")],
    "text_pair": Annotated[str | None, typer.Option("--text-pair", help="Column of the second text of a pair.")],
    "label": Annotated[str | None, typer.Option("--label", help="Column of the label.")],
    "choices": Annotated[
        str | None,
        typer.Option("--choices", help="Column of the lists of choices, or their columns with commas between."),
    ],
    "task": Annotated[str | None, typer.Option("--task", help=f"{one_of(NAMES[::-1])}; else by the data.")],
    "max_length": Annotated[
        int | None,
        typer.Option("--max-length", min=3, max=65_536, help="Pieces the model reads at once; else the task's own."),
    ],
    "stride": Annotated[
        int | None,
        typer.Option(
            "--stride", min=0, help="Divide longer texts into windows that share this many pieces; else the task's own."
        ),
    ],
    "format": Annotated[
        str | None,
        typer.Option("--format", help=f"{one_of(reading.FORMATS)}; else by the file's name and content."),
    ],
    "encoding": Annotated[str, typer.Option("--encoding", help="The file's character encoding.")],
    "header": Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header", help="Whether the first row names the columns; else by names and content."
        ),
    ],
    "word_column": Annotated[
        int | None, typer.Option("--word-column", help="Column of a CoNLL file's words, from 1; else by content.")
    ],
    "tag_column": Annotated[
        int | None, typer.Option("--tag-column", help="Column of a CoNLL file's tags, from 1; else by content.")
    ],
    "keep_na": Annotated[
        bool, typer.Option("--keep-na", help="Cells like NA, None and null are values, not missing ones.")
    ],
}


def data_options(verb: Verb) -> Verb:
    """Gives a verb with `**options: Unpack[...]` the options above that the annotation names."""
    return reading.data_options(verb, annotations=DATA)


Model = Annotated[str, typer.Argument(help="Model folder or hub id.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A setting by name, e.g. lr=3e-5, epochs=2, num_hidden_layers=6. Repeatable; albert settings lists them.",
    ),
]
Precision = Annotated[
    str, typer.Option("--precision", help="fp32, bf16, int8, or auto: what this machine is fastest in.")
]
FullDepth = Annotated[bool, typer.Option("--full-depth", help="No early exit and no cascade, if the model has them.")]
Output = Annotated[
    str,
    typer.Option("--out", "-o", help="File for the result (.jsonl, .json, .csv, .tsv, also .gz, …); - is stdout."),
]
Rows = Annotated[str, typer.Argument(help="CSV, TSV, Excel, JSONL or a text a line; - is stdin.")]
OutputFormat = Annotated[
    str | None, typer.Option("--output-format", help="jsonl, json, csv or tsv; else by the name of --out.")
]
DevFile = Annotated[str | None, typer.Option("--dev", help="File to evaluate on; else a tenth is held out.")]
Init = Annotated[str | None, typer.Option("--init", help="Model folder or hub id to start from; else our starter.")]
Vocabulary = Annotated[str | None, typer.Option("--tokenizer", help="Vocabulary folder for training from scratch.")]
Size = Annotated[
    str | None,
    typer.Option("--size", help="Train a network of this size from scratch instead: tiny, mini, small, base, …"),
]
Metric = Annotated[
    str | None, typer.Option("--metric", help="Dev score that decides, e.g. macro_f1 or mcc; else the task's own.")
]
Fallback = Annotated[
    str | None,
    typer.Option(
        "--fallback", help="Label for texts that no other one fits: also the answer where none is likely enough."
    ),
]
FallbackShare = Annotated[
    float | None,
    typer.Option("--fallback-share", help="Share of texts in use that fit no other label. Default: that of dev."),
]
EarlyExit = Annotated[
    bool, typer.Option("--early-exit", help="Heads behind every depth, so that easy texts are answered sooner.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
AsJson = Annotated[bool, typer.Option("--json", help="Results as JSON.")]
