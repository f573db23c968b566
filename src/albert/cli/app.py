"""The verbs and their options."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from albert.cli import documents, summarize
from albert.version import __version__

app = typer.Typer(
    help="ALBERT, the lite BERT: train, evaluate and predict on ordinary machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
tokenizer_app = typer.Typer(help="Vocabularies.", no_args_is_help=True)
app.add_typer(tokenizer_app, name="tokenizer")

_TASKS = "classification, multilabel, regression, ner, qa, choice, similarity or retrieval"  # written out: no imports

Setting = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting by name, e.g. lr=3e-5, epochs=2, num_hidden_layers=6. Repeatable."),
]
TextColumn = Annotated[str | None, typer.Option("--text", help="Column of the text.")]
PairColumn = Annotated[str | None, typer.Option("--text-pair", help="Column of the second text of a pair.")]
LabelColumn = Annotated[str | None, typer.Option("--label", help="Column of the label.")]
ChoicesColumn = Annotated[
    str | None,
    typer.Option("--choices", help="Column of the lists of choices, or their columns with commas between."),
]
MaxLength = Annotated[
    int | None,
    typer.Option("--max-length", min=3, max=65_536, help="Pieces the model reads at once; else the task's own."),
]
Stride = Annotated[
    int | None,
    typer.Option(
        "--stride", min=0, help="Divide longer texts into windows that share so many pieces; else the task's own."
    ),
]
InferencePrecision = Annotated[
    str, typer.Option("--precision", help="fp32, bf16, int8, or auto: what this machine is fastest in.")
]
FullDepth = Annotated[bool, typer.Option("--full-depth", help="No early exit, where the model has it.")]
InputFormat = Annotated[
    str | None,
    typer.Option("--format", help="csv, tsv, jsonl, conll, fasttext or lines; else by the file's name and content."),
]
HasHeader = Annotated[
    bool | None,
    typer.Option("--header/--no-header", help="Whether the first row names the columns; else by names and content."),
]
WordColumn = Annotated[int | None, typer.Option(help="Column of a CoNLL file's words, from 1; else by content.")]
TagColumn = Annotated[int | None, typer.Option(help="Column of a CoNLL file's tags, from 1; else by content.")]
KeepNa = Annotated[bool, typer.Option("--keep-na", help="Cells like NA, None and null are values, not missing ones.")]
Encoding = Annotated[str, typer.Option(help="The file's character encoding.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
AsJson = Annotated[bool, typer.Option("--json", help="Results as JSON.")]


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


@app.command()
def check(
    data: Annotated[str, typer.Argument(help="Labelled CSV, TSV, JSONL or CoNLL file to train on.")],
    dev: Annotated[str | None, typer.Option(help="File to evaluate on.")] = None,
    test: Annotated[str | None, typer.Option(help="File for the final scores.")] = None,
    task: Annotated[str | None, typer.Option(help=f"{_TASKS}; else by the data.")] = None,
    text: TextColumn = None,
    text_pair: PairColumn = None,
    label: LabelColumn = None,
    init: Annotated[str, typer.Option(help="Model folder or hub id whose vocabulary counts.")] = "starter",
    choices: ChoicesColumn = None,
    max_length: MaxLength = None,
    stride: Stride = None,
    show: Annotated[int, typer.Option(min=0, help="Places listed of each finding.")] = 5,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
    format: InputFormat = None,
    encoding: Encoding = "utf-8",
    header: HasHeader = None,
    word_column: WordColumn = None,
    tag_column: TagColumn = None,
    keep_na: KeepNa = False,
    json: AsJson = False,
) -> None:
    """Find what is wrong with labelled files before training on them; exit 65 if there are errors."""
    from albert.audit.dataset import AuditConfig
    from albert.cli.check import run

    config = AuditConfig(
        train=data,
        dev=dev,
        test=test,
        task=task,
        text=text,
        text_pair=text_pair,
        label=label,
        init=init,
        choices=choices,
        max_length=max_length,
        stride=stride,
        format=format,
        encoding=encoding,
        header=header,
        word_column=word_column,
        tag_column=tag_column,
        keep_na=keep_na,
    )
    raise typer.Exit(run(config, as_json=json, strict=strict, show=show))


@app.command()
def train(
    data: Annotated[str, typer.Argument(help="Labelled CSV, TSV, JSONL or CoNLL file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model; made if need be.")],
    dev: Annotated[str | None, typer.Option(help="File to evaluate on; else a tenth is held out.")] = None,
    task: Annotated[str | None, typer.Option(help=f"{_TASKS}; else by the data.")] = None,
    text: TextColumn = None,
    text_pair: PairColumn = None,
    label: LabelColumn = None,
    init: Annotated[str | None, typer.Option(help="Model folder or hub id to start from; else our starter.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Vocabulary folder for training from scratch.")] = None,
    size: Annotated[
        str | None, typer.Option(help="Train a network of this size from scratch instead: tiny, mini, small, base, …")
    ] = None,
    choices: ChoicesColumn = None,
    metric: Annotated[
        str | None, typer.Option(help="Dev score that decides, e.g. macro_f1 or mcc; else the task's own.")
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(help="Label for texts that no other one fits: also the answer where none is likely enough."),
    ] = None,
    max_length: MaxLength = None,
    stride: Stride = None,
    early_exit: Annotated[
        bool, typer.Option("--early-exit", help="Heads behind every depth, so that easy texts are answered sooner.")
    ] = False,
    exit_budget: Annotated[float, typer.Option(help="Share of dev texts that early exit may answer worse.")] = 0.003,
    settings: Setting = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Train so many times, and tell median and spread.")] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    format: InputFormat = None,
    encoding: Encoding = "utf-8",
    header: HasHeader = None,
    word_column: WordColumn = None,
    tag_column: TagColumn = None,
    keep_na: KeepNa = False,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Fine-tune on labelled texts: columns and task are guessed, progress shown, the best model saved."""
    from albert.finetuning.dataset import FinetuneConfig
    from albert.finetuning.finetune import finetune
    from albert.storage.files import require_folder
    from albert.training.progress import ConsoleProgress
    from albert.training.settings import parse_setting

    require_folder(out, inputs=filter(None, (data, dev)))
    config = FinetuneConfig(
        train=data,
        out=out,
        dev=dev,
        task=task,
        text=text,
        text_pair=text_pair,
        label=label,
        init=init,
        tokenizer=tokenizer,
        size=size,
        choices=choices,
        metric=metric,
        fallback=fallback,
        max_length=max_length,
        stride=stride,
        early_exit=early_exit,
        exit_budget=exit_budget,
        format=format,
        encoding=encoding,
        header=header,
        word_column=word_column,
        tag_column=tag_column,
        keep_na=keep_na,
        settings=dict(parse_setting(item) for item in settings or []),
    )
    progress = ConsoleProgress(quiet=quiet)
    if seeds is not None:
        from albert.finetuning.seeds import finetune_seeds

        found = finetune_seeds(config, seeds, resume=resume, overwrite=overwrite, progress=progress)
        _print_seeds(found.summary, str(found.best.folder), as_json=json)
        return
    result = finetune(config, resume=resume, overwrite=overwrite, progress=progress)
    _print_scores(
        {
            "folder": str(result.folder),
            "metric": result.metric,
            "baseline": result.baseline,
            "scores": result.scores,
        },
        as_json=json,
    )


@app.command()
def pretrain(
    shards: Annotated[Path, typer.Argument(help="Folder that `albert prepare` made.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model; made if need be.")],
    size: Annotated[str, typer.Option(help="Size of the network: tiny, mini, small, base, …")] = "small",
    init: Annotated[str | None, typer.Option(help="Model folder or hub id to go on from; else from scratch.")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Folder or hub id of a BERT or ALBERT whose vectors are learned from, too.")
    ] = None,
    settings: Setting = None,
    evaluation_rows: Annotated[int, typer.Option(min=1, help="Held-out instances an evaluation goes over.")] = 1024,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Metrics for TensorBoard, too.")] = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Pre-train on masked pieces and sentence order; under torchrun on many processes or machines."""
    from albert.pretraining.pretrain import pretrain as run
    from albert.pretraining.settings import PretrainConfig
    from albert.storage.files import require_folder
    from albert.training.progress import ConsoleProgress
    from albert.training.settings import parse_setting

    require_folder(out, inputs=(shards,))
    config = PretrainConfig(
        shards=shards,
        out=out,
        size=size,
        init=init,
        teacher=teacher,
        evaluation_rows=evaluation_rows,
        tensorboard=tensorboard,
        settings=dict(parse_setting(item) for item in settings or []),
    )
    result = run(config, resume=resume, overwrite=overwrite, progress=ConsoleProgress(quiet=quiet))
    if result.leads:
        _print_scores({"folder": str(result.folder), "metric": "", "scores": result.scores}, as_json=json)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Model folder or hub id.")],
    data: Annotated[
        str | None, typer.Argument(help="Labelled file, SQuAD's or DREAM's JSON, RACE's folder; GLUE's with --glue.")
    ] = None,
    glue: Annotated[str | None, typer.Option(help="GLUE task whose dev part is scored, e.g. RTE.")] = None,
    squad: Annotated[bool, typer.Option("--squad", help="Score as SQuAD's scorers do, 1.1 or 2.0.")] = False,
    race: Annotated[bool, typer.Option("--race", help="Score RACE's folder, middle and high apart.")] = False,
    submission: Annotated[
        Path | None,
        typer.Option(help="Folder for predictions as the sites take them: GLUE's test part, SQuAD's questions."),
    ] = None,
    behaviour: Annotated[
        str | None, typer.Option(help="Behavioural tests: a TOML file, or sentiment, paraphrase, entailment, qa.")
    ] = None,
    attack: Annotated[
        str | None,
        typer.Option(help="Score attacked texts too: homoglyph,invisible,reorder,delete,leetspeak, or some of them."),
    ] = None,
    budget: Annotated[str, typer.Option(help="Places of a text that an attack changes, e.g. 3 or 1..5.")] = "1..5",
    trials: Annotated[int, typer.Option(help="Attacked forms of a text, of which the worst counts.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Of the attacks.")] = 0,
    no_hardening: Annotated[
        bool, typer.Option("--no-hardening", help="Read texts as they are, although the model hardens them.")
    ] = False,
    precision: InferencePrecision = "auto",
    full_depth: FullDepth = False,
    label: LabelColumn = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option("--min", help="Least score, e.g. accuracy=0.85; exit 4 if missed. Repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file for the scores.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML file for the report: pictures, errors, data.")] = None,
    format: InputFormat = None,
    encoding: Encoding = "utf-8",
    header: HasHeader = None,
    word_column: WordColumn = None,
    tag_column: TagColumn = None,
    keep_na: KeepNa = False,
    json: AsJson = False,
) -> None:
    """Score a model on a labelled file, beside a baseline that does not read."""
    from albert.cli.evaluate import (
        print_attacks,
        race_accuracies,
        require_data,
        require_distinct,
        require_task,
        run_attacks,
        run_behaviour,
        run_glue,
        write_squad,
    )
    from albert.cli.gates import check_gates, parse_gates
    from albert.hub import model_files
    from albert.predict.predictor import Predictor
    from albert.report import write_report
    from albert.storage.files import require_folder, require_output

    for path in filter(None, (out, report)):
        require_output(path, inputs=filter(None, (data, *model_files(model))))
    if submission is not None:
        require_folder(submission)
    if out is not None and report is not None:
        require_distinct({"--out": out, "--report": report})
    gates = parse_gates(minimum or [])
    if glue is not None or behaviour is not None:
        if behaviour is not None:
            check_gates(gates, run_behaviour(model, behaviour, as_json=json))
        else:
            assert glue is not None
            check_gates(gates, run_glue(model, glue, require_data(data), submission=submission, as_json=json))
        return
    predictor = Predictor.load(
        model,
        precision=precision,  # type: ignore[arg-type]
        early_exit=not full_depth,
        hardening=not no_hardening,
    )
    if squad or race:
        require_task(predictor, "qa" if squad else "choice")
    result = predictor.evaluate(
        require_data(data),
        label=label,
        format=format,
        encoding=encoding,
        header=header,
        word_column=word_column,
        tag_column=tag_column,
        keep_na=keep_na,
    )
    if race:
        result = replace(result, scores=race_accuracies(result))
    if squad and submission is not None:
        print(f"answers -> {write_squad(result, submission)}", file=sys.stderr)
    _tell_cut(predictor.cut, predictor.lengths.max_length)
    for remark in result.remarks:
        print(remark, file=sys.stderr)
    if out is not None:
        result.save(out)
    if report is not None:
        write_report(report, result.facts)
        print(f"report -> {report}", file=sys.stderr)
    if attack is not None:
        found = run_attacks(predictor, result, attack, budget, trials=trials, seed=seed)
        check_gates(gates, print_attacks(result, found, as_json=json))
        return
    _print_scores(
        {
            "rows": result.rows,
            "metric": result.metric,
            "baseline": result.baseline,
            "interval": result.interval,
            "calibration_error": result.calibration_error,
            "scores": result.scores,
        },
        as_json=json,
    )
    check_gates(gates, result.scores)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="Model folder.")],
    dev: Annotated[str, typer.Option(help="Labelled file on which the score is compared.")],
    to: Annotated[str, typer.Option(help="The form: int8.")] = "int8",
    budget: Annotated[float, typer.Option(help="How much lower the score may be.")] = 0.005,
    force: Annotated[bool, typer.Option("--force", help="Export whatever the score.")] = False,
    label: LabelColumn = None,
    format: InputFormat = None,
    encoding: Encoding = "utf-8",
    header: HasHeader = None,
    word_column: WordColumn = None,
    tag_column: TagColumn = None,
    keep_na: KeepNa = False,
    json: AsJson = False,
) -> None:
    """Make a smaller or faster form of a model, refused where its score falls."""
    from albert.data.reading import Reading
    from albert.errors import AlbertError, ErrorKind
    from albert.export.int8 import export_int8

    if to != "int8":
        raise AlbertError(ErrorKind.USAGE, "--to", expected="int8", got=repr(to))
    reading = Reading(
        format=format,
        encoding=encoding,
        header=header,
        word_column=word_column,
        tag_column=tag_column,
        keep_na=keep_na,
    )
    done = export_int8(model, dev, budget=budget, force=force, label=label, reading=reading)
    if json:
        from json import dumps

        print(dumps({**vars(done), "path": str(done.path)}))
    else:
        print(f"{done.metric}: {done.before:.4f} before, {done.after:.4f} in int8")
        print(f"int8 -> {done.path}", file=sys.stderr)


@app.command()
def convert(
    model: Annotated[str, typer.Argument(help="Model folder or hub id.")],
    out: Annotated[Path, typer.Argument(help="Folder for the same model; made if need be.")],
    to: Annotated[str | None, typer.Option(help="Layout of the weights, albert or bert; else theirs.")] = None,
    dtype: Annotated[str, typer.Option(help="Their number format: float32, float16 or bfloat16.")] = "float32",
) -> None:
    """Write a model in another layout or number format; transformers reads all of them."""
    from albert.export.layouts import convert as run
    from albert.storage.files import require_folder

    require_folder(out)
    done = run(model, out, to=to, dtype=dtype)
    print(f"{done.architecture}, {done.dtype} -> {done.path}", file=sys.stderr)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Model folder or hub id.")],
    data: Annotated[str, typer.Argument(help="CSV, TSV, JSONL or a text a line; - is stdin.")] = "-",
    out: Annotated[
        str,
        typer.Option("--out", "-o", help="File for the result (.jsonl, .json, .csv, .tsv, also .gz, …); - is stdout."),
    ] = "-",
    top_k: Annotated[int, typer.Option(min=0, max=1_000_000, help="How many labels a row; 0 gives all.")] = 1,
    aggregation: Annotated[str, typer.Option(help="Pieces to entities: none, simple, first, average, max.")] = "first",
    max_answer: Annotated[
        int, typer.Option(min=1, max=65_536, help="Pieces of the longest answer to a question.")
    ] = 30,
    no_answer: Annotated[
        bool | None,
        typer.Option("--no-answer/--always-answer", help='Whether "" may answer a question; else as trained.'),
    ] = None,
    raw_scores: Annotated[bool, typer.Option("--raw-scores", help="Logits of labels and numbers.")] = False,
    precision: InferencePrecision = "auto",
    full_depth: FullDepth = False,
    format: InputFormat = None,
    output_format: Annotated[
        str | None, typer.Option(help="jsonl, json, csv or tsv; else by the name of --out.")
    ] = None,
    encoding: Encoding = "utf-8",
    header: HasHeader = None,
    word_column: WordColumn = None,
    tag_column: TagColumn = None,
    keep_na: KeepNa = False,
) -> None:
    """Predict every row of a file: streaming, all input columns kept, an interrupted call goes on."""
    from albert.hub import model_files
    from albert.storage.files import require_output
    from albert.storage.records import Form

    require_output(out, inputs=(data, *model_files(model)))
    Form.of(out, output_format)  # refuses before anything is imported, too
    from albert.predict.files import score_file
    from albert.predict.predictor import Predictor
    from albert.tasks import DecodeOptions

    options = DecodeOptions(
        top_k=top_k or None,
        aggregation=aggregation,
        max_answer=max_answer,
        no_answer=no_answer,
        raw_scores=raw_scores,
    )
    predictor = Predictor.load(model, precision=precision, early_exit=not full_depth)  # type: ignore[arg-type]
    scored = score_file(
        predictor,
        data,
        out,
        options=options,
        format=format,
        output_format=output_format,
        encoding=encoding,
        header=header,
        word_column=word_column,
        tag_column=tag_column,
        keep_na=keep_na,
    )
    resumed = f" ({scored.resumed:,} of them by an earlier call)" if scored.resumed else ""
    print(f"{scored.rows:,} rows -> {out}{resumed}", file=sys.stderr)
    _tell_cut(scored.cut, predictor.lengths.max_length)
    for remark in scored.remarks:
        print(remark, file=sys.stderr)


@app.command()
def prepare(
    corpus: Annotated[
        list[Path], typer.Argument(help="Text, JSONL (.gz, .bz2, .xz, .zst too), Parquet files, or folders of them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the shards: new, or to go on with.")],
    vocab: Annotated[str | None, typer.Option(help="Vocabulary folder; else our English one.")] = None,
    language: Annotated[str, typer.Option(help="Language whose rules end sentences.")] = "en",
    column: Annotated[str, typer.Option(help="Column or key of the text in Parquet and JSONL.")] = "text",
    deduplicate: Annotated[bool, typer.Option("--deduplicate", help="Leave out documents that came before.")] = False,
    chunk_mb: Annotated[float, typer.Option(help="MiB of text a shard; longer documents are divided.")] = 8.0,
    workers: Annotated[int | None, typer.Option(help="Processes; else one a core.")] = None,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster to work on, or local.")] = None,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Turn a corpus into shards for pre-training: streaming, an interrupted call goes on when repeated."""
    from albert.cli.prepare import run
    from albert.corpus.job import PrepareConfig
    from albert.storage.files import require_folder

    require_folder(out, inputs=corpus)
    cores = {} if workers is None else {"workers": workers}
    config = PrepareConfig(tuple(corpus), out, vocab, language, column, deduplicate, chunk_mb, ray=ray, **cores)
    run(config, quiet=quiet, as_json=json)


@app.command()
def serve(
    models: Annotated[list[str], typer.Argument(help="Model folders or hub ids; NAME=FOLDER names one.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 is any that is free.")] = 3000,
    host: Annotated[str, typer.Option(help="Address; any but this machine's own needs --api-key-file.")] = "127.0.0.1",
    api_key_file: Annotated[Path | None, typer.Option(help="Hashes of keys, as `albert serve-key` makes.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second for each key.")] = None,
    burst: Annotated[int, typer.Option(min=1, help="How many of them may come at once.")] = 20,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file, for https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its private key.")] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="A name that clients may use for a server without keys. Repeatable.")
    ] = None,
    safe_label: Annotated[
        list[str] | None,
        typer.Option(help="A label that flags no text in /v1/moderations; else ok, none, … Repeatable."),
    ] = None,
    precision: InferencePrecision = "auto",
    workers: Annotated[
        int | None, typer.Option(help="Batches computed at once, which share the cores; else one a core, at most 4.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds within which a request is answered or refused.")] = 30.0,
    drain: Annotated[float, typer.Option(help="Seconds for what is under way after SIGTERM.")] = 30.0,
    max_batch_tokens: Annotated[int, typer.Option(min=1, help="Tokens computed at once.")] = 2048,
    max_concurrent_requests: Annotated[int, typer.Option(min=1, help="Requests under way; more get 429.")] = 512,
    max_inputs: Annotated[int, typer.Option(min=1, help="Texts of a request.")] = 32,
    limit: Annotated[
        list[str] | None, typer.Option(help="NAME=NUMBER: another limit, as docs/serving.md lists them. Repeatable.")
    ] = None,
) -> None:
    """Serve models over HTTP: text-embeddings-inference's and OpenAI's shapes, answers, entities, summaries."""
    from albert.cli.serve import require_serve

    require_serve()
    from albert.serve.core.hosted import SAFE_LABELS, Source
    from albert.serve.core.limits import Limits
    from albert.serve.http.run import ServeConfig
    from albert.serve.http.run import serve as run

    run(
        ServeConfig(
            models=tuple(map(Source.parse, models)),
            host=host,
            port=port,
            key_file=api_key_file,
            rate=rate,
            burst=burst,
            certificate=tls_certificate,
            private_key=tls_key,
            hosts=tuple(allowed_host or ()),
            safe_labels=tuple(safe_label or SAFE_LABELS),
            precision=precision,
            workers=workers,
            limits=Limits.parse(
                limit or (),
                timeout=timeout,
                drain=drain,
                batch_tokens=max_batch_tokens,
                max_requests=max_concurrent_requests,
                max_inputs=max_inputs,
            ),
        )
    )


@app.command("serve-key")
def serve_key(
    owner: Annotated[str, typer.Argument(help="Who gets the key.")],
    admin: Annotated[bool, typer.Option("--admin", help="The key may also reload the models.")] = False,
) -> None:
    """Make an API key: the key on stderr, on stdout its hash, a line for the key file."""
    from albert.cli.serve import print_key

    print_key(owner, admin=admin)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model.")] = Path("demo-model"),
    seed: Annotated[int, typer.Option(help="Seed of order, weights and the held-out part.")] = 0,
) -> None:
    """Train on the bundled customer messages, compare with the majority baseline, predict a few lines."""
    from albert.cli.demo import run
    from albert.storage.files import require_folder

    require_folder(out)
    run(out, seed=seed)


@app.command()
def doctor(json: AsJson = False) -> None:
    """Check this machine and installation: versions, threads, number formats, a known-answer test."""
    from albert.cli.doctor import run

    raise typer.Exit(run(as_json=json))


for verb in (documents.index, documents.search, documents.ask, documents.chat, documents.mcp, summarize.summarize):
    app.command()(verb)


@tokenizer_app.command("train")
def tokenizer_train(
    corpus: Annotated[list[Path], typer.Argument(help="Files or folders, as `albert prepare` reads them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for spiece.model and tokenizer.json.")],
    vocab_size: Annotated[int, typer.Option(min=8, max=1_000_000, help="Number of pieces.")] = 30_000,
    max_lines: Annotated[int, typer.Option(min=1, help="Lines to sample at most.")] = 10_000_000,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the sample.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads; another number gives other roundings.")] = 2,
    cased: Annotated[bool, typer.Option("--cased", help="Tell upper from lower case.")] = False,
    keep_accents: Annotated[
        bool, typer.Option("--keep-accents", help="Keep accents and voicing marks: å, é, パ. Most languages need it.")
    ] = False,
) -> None:
    """Train a SentencePiece vocabulary with the settings of the published models."""
    from albert.cli.tokenizer import train
    from albert.storage.files import require_folder

    require_folder(out, inputs=corpus)
    options = {"vocab_size": vocab_size, "max_lines": max_lines, "seed": seed, "threads": threads}
    train(corpus, out, cased=cased, keep_accents=keep_accents, **options)


def _tell_cut(count: int, length: int) -> None:
    if count:
        print(f"{count:,} texts are longer than {length} pieces and were cut", file=sys.stderr)


def _print_seeds(summary: dict[str, dict[str, float]], best: str, *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps({"best": best, "scores": summary}))
        return
    for name, values in summary.items():
        print(f"{name:12} {values['median']:.4f}  ({values['min']:.4f} to {values['max']:.4f})")
    print(f"best model -> {best}", file=sys.stderr)


def _print_scores(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(result, ensure_ascii=False))
        return
    for name, value in result["scores"].items():
        note = ""
        if name == result["metric"]:
            interval = "95% interval {:.4f} to {:.4f}, ".format(*result["interval"]) if "interval" in result else ""
            note = f"  ({interval}baseline {result['baseline']:.4f})"
        print(f"{name:12} {value:.4f}{note}")
    if result.get("calibration_error") is not None:
        print(f"{'ECE':12} {result['calibration_error']:.4f}")
    if "folder" in result:
        print(f"model -> {result['folder']}", file=sys.stderr)
