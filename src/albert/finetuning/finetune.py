"""From a table of examples to a fine-tuned model folder: the steps of `albert train`, in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from albert.compute.covers import unknown
from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.finetuning import few as few_labels
from albert.finetuning.attempts import Attempts, FinetuneResult, Settings, TaskObjective, collapsed
from albert.finetuning.card import model_card
from albert.finetuning.dataset import Dataset, FinetuneConfig, read_dataset
from albert.finetuning.early_exit import ExitObjective, choose_exit, require_exits
from albert.finetuning.hybrid import add_words, require_words_for
from albert.finetuning.report import Finished, report_on
from albert.finetuning.start import require_same_sizes, require_token_types, starting_tokenizer
from albert.finetuning.teachers import Lesson, add_teachers
from albert.finetuning.temperature import scale_temperature
from albert.finetuning.text2text import finetune_text2text
from albert.machine.memory import peak_memory
from albert.model import AlbertForTask
from albert.model.checkpoint import start_from
from albert.model.folder import ModelFolder
from albert.storage.files import disk_errors
from albert.storage.locks import run_lock
from albert.storage.replacing import settle
from albert.tasks import WRITING
from albert.tasks.labels import listed
from albert.tasks.stored import StoredExit, StoredTask, noted
from albert.text.encodings import Tokenizer
from albert.training.folder import check_folder, write_model_folder
from albert.training.progress import ConsoleProgress
from albert.training.settings import divide_settings

# From scratch: measured on SST-2, AG News and the bundled messages (docs/log.md). Patience ends longer runs.
_FROM_SCRATCH: dict[str, Any] = {"lr": 1e-3, "epochs": 15.0, "batch_size": 32, "patience": 5}
_FROM_NARROW: dict[str, Any] = {"lr": 5e-4, "epochs": 6.0, "batch_size": 32, "patience": 2}  # up to H 256
# The starter's width. CoLA, 3 epochs: MCC 0.288, 0.264 and 0 at 1e-4, 2e-4 and 4e-4 (docs/log.md).
_FROM_SMALL: dict[str, Any] = {"lr": 1.5e-4, "epochs": 5.0, "batch_size": 32, "patience": 2}
_FROM_SMALL_BERT: dict[str, Any] = {"lr": 1e-4, "epochs": 4.0, "batch_size": 32}  # from the grid of Turc et al. 2019
_FROM_CHECKPOINT: dict[str, Any] = {"lr": 3e-5, "epochs": 3.0, "batch_size": 32}  # within the paper's Table 14
_NARROW, _SMALL = 256, 512  # the largest hidden size for which these defaults hold

DEFAULTS = {
    "from scratch": _FROM_SCRATCH,
    f"from a hidden size up to {_NARROW}": _FROM_NARROW,
    f"up to {_SMALL}": _FROM_SMALL,
    f"from a BERT up to {_SMALL}": _FROM_SMALL_BERT,
    "from a larger one": _FROM_CHECKPOINT,
}
COMPONENTS = (AlbertConfig, *Settings.kinds())  # whose fields `--set` takes


def finetune(
    config: FinetuneConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: ConsoleProgress | None = None,
) -> FinetuneResult:
    """Reads, encodes, trains, keeps the best checkpoint on dev, and writes the model folder `config.out`.

    Raises `AlbertError` with the exit codes of `ErrorKind`; for bad data nothing is written.
    """
    progress = progress or ConsoleProgress(quiet=True)
    if config.train.task in WRITING:
        return finetune_text2text(config, resume=resume, overwrite=overwrite, progress=progress)
    start = None if config.init is None else ModelFolder.open(config.init)
    config = _read_whole(config, start, progress)
    defaults = _FROM_SCRATCH if start is None else _defaults(start.config)
    network, settings = _divided({**defaults, **config.settings})
    check_folder(config.out, resume=resume, overwrite=overwrite)
    data = read_dataset(
        config, starting_tokenizer(config, start), settings.loss, settings.text, seed=settings.loop.seed
    )
    tokenizer = data.tokenizer
    if config.early_exit:
        require_exits(data.task)
    require_words_for(config, data)
    few = few_labels.wanted(config, None if start is None else start.config, data)
    if few:
        network, settings = _divided({**defaults, **few_labels.SETTINGS, **config.settings})
        network = {"pooling": "mean", **network}
    data, lesson = add_teachers(config, data, tokenizer, progress)
    _tell(data, progress)
    model = _build_model(config, start, data, tokenizer, network, seed=settings.loop.seed, progress=progress)
    if config.early_exit and (missing := unknown(model.config, model.head_name)):
        raise AlbertError(
            ErrorKind.CONFIG, "--early-exit", expected="a network that early exit covers", got=", ".join(missing)
        )
    with disk_errors(config.out), run_lock(config.out), progress:
        settle(config.out)
        attempts = Attempts(config, settings, data, progress, _objective(config, data, lesson, few=few))
        if overwrite and not resume:
            attempts.clear()
        result = few_labels.train_few(attempts, model, resume=resume) if few else attempts.train(model, resume=resume)
        if not few and collapsed(result) and not attempts.restarted:
            model = _build_model(config, start, data, tokenizer, network, seed=settings.loop.seed, progress=progress)
            result = attempts.restart(model)
        result, calibration = scale_temperature(model, data, result)
        if result.thresholds:
            model.config = noted(model.config, thresholds=result.thresholds)
        if calibration:
            data.remarks.append(calibration)
            progress.on_message(calibration)
        if config.early_exit:
            leaving = choose_exit(model, data, result, budget=config.exit_budget)
            model.config = noted(model.config, early_exit=StoredExit(leaving.threshold, leaving.depth))
            data.remarks.append(leaving.in_words(result.metric, result.scores[result.metric]))
            progress.on_message(data.remarks[-1])
        result, beside = add_words(model, tokenizer, config, data, result, progress)
        final = attempts.settings.as_dict()
        card = model_card(model.config, config, final, result, data, calibration=calibration)
        write_model_folder(config.out, model, tokenizer, card, *beside)
        if (peak := peak_memory()) is not None:
            progress.on_message(f"{peak / 2**20:,.0f} MiB of memory at most")
        progress.on_message(report_on(Finished(config, data, model.config, final, result, tokenizer)))
    return result


def _read_whole(config: FinetuneConfig, start: ModelFolder | None, progress: ConsoleProgress) -> FinetuneConfig:
    """With a start that has attention windows, texts are as long as it reads, unless a length or a stride is given."""
    source = config.train
    if start is None or start.config.attention_window is None:
        return config
    if source.max_length is not None or source.stride is not None:
        return config
    length = start.config.max_position_embeddings
    progress.on_message(
        f"texts are read whole up to {length:,} pieces: {start.name} has attention windows of "
        f"{start.config.attention_window} pieces (--max-length or --stride choose otherwise)"
    )
    return dataclasses.replace(config, train=dataclasses.replace(source, max_length=length))


def _objective(config: FinetuneConfig, data: Dataset, lesson: Lesson | None, *, few: bool) -> TaskObjective:
    if few:
        return few_labels.PairObjective(data.task, data.loss)
    return (ExitObjective if config.early_exit else TaskObjective)(data.task, data.loss, lesson)


def _divided(values: dict[str, Any]) -> tuple[dict[str, Any], Settings]:
    """Values by name as those of the network, and each component's own."""
    network, *parts = divide_settings(values, *COMPONENTS)
    return network, Settings(*(kind(**part) for kind, part in zip(Settings.kinds(), parts, strict=True)))


def _defaults(network: AlbertConfig) -> dict[str, Any]:
    """The settings for a checkpoint of this size and family."""
    if network.hidden_size > _SMALL:
        return _FROM_CHECKPOINT
    if network.model_type == "bert":
        return _FROM_SMALL_BERT
    return _FROM_NARROW if network.hidden_size <= _NARROW else _FROM_SMALL


# --- model and trainer ---------------------------------------------------------------------------------


def _build_model(
    config: FinetuneConfig,
    start: ModelFolder | None,
    data: Dataset,
    tokenizer: Tokenizer,
    network: dict[str, Any],
    *,
    seed: int,
    progress: ConsoleProgress,
) -> AlbertForTask:
    generator = torch.Generator().manual_seed(seed)
    described: dict[str, Any] = {
        "id2label": data.labels,
        "problem_type": data.task.problem_type,
        "extra": StoredTask(
            task=data.task.name,
            metric=data.task.metric,
            columns=data.columns,
            max_length=data.lengths.max_length,
            stride=data.lengths.stride,
            fallback=config.fallback,
            fallback_share=config.fallback_share,
        ).extra(),
    }
    if start is not None and start.config.attention_window is not None and tokenizer.case_marks:
        described["global_question"] = False  # the types are those of capitals, not of a question and a text
    if start is None:
        assert config.size is not None
        pieces = {"vocab_size": tokenizer.vocab_size, "pad_token_id": tokenizer.special.pad}
        shape = AlbertConfig.named(config.size, **{**pieces, **network}).with_(**described)
        progress.on_message(f"training a {config.size} network from scratch, without a pre-trained model")
        model = AlbertForTask(shape, data.task.head, exits=config.early_exit, generator=generator)
    else:
        progress.on_message(f"starting from {start.name}")
        require_same_sizes(start, network)
        shape = start.config.with_(**network, **described)
        model, fresh = start_from(start, shape, data.task.head, generator, exits=config.early_exit)
        if fresh:
            progress.on_message(f"new random weights, not in {start.name}: {', '.join(fresh)}")
    require_token_types(shape, data.train.types)
    if shape.max_position_embeddings < data.lengths.max_length:
        raise AlbertError(
            ErrorKind.CONFIG,
            "max_length",
            expected=f"at most the model's {shape.max_position_embeddings}",
            got=str(data.lengths.max_length),
        )
    return model


def _tell(data: Dataset, progress: ConsoleProgress) -> None:
    columns = data.columns
    source = "a tenth held out as dev" if data.held_out else "dev from its file"
    progress.on_message(
        f"task {data.task.name}: {' + '.join(columns.texts())} -> {columns.label}, "
        f"{_listed(data.labels)}; {data.train_rows:,} training and {len(data.dev_examples):,} dev rows ({source})"
    )
    words, value = data.baseline
    progress.on_message(f"baseline, {words}: dev {data.task.metric} {value:.4f}")
    if data.cut:
        progress.on_message(
            f"{data.cut:,} of {data.train_rows + len(data.dev_examples):,} texts are longer than "
            f"{data.lengths.max_length} pieces and were cut; --stride 32 reads them whole, --max-length N more of them"
        )
    if (
        windows := len(data.train) + len(data.dev) - data.train_rows - len(data.dev_examples)
    ) and not data.task.grouped:
        progress.on_message(f"{windows:,} more windows than texts: {data.lengths.rule()}")
    for remark in data.remarks:
        progress.on_message(remark)


def _listed(labels: Sequence[str]) -> str:
    return "a number" if len(labels) == 1 else f"{len(labels)} labels ({listed(labels, 6)})"
