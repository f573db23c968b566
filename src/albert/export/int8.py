"""The int8 form of a model for the engine, refused if it costs too much."""

from __future__ import annotations

from pathlib import Path

from albert.compute.quantized import Calibration, save_ranges
from albert.data.reading import DataSource
from albert.engine import Engine, calibrate
from albert.errors import AlbertError, ErrorKind, require_share
from albert.export.gate import Export, passed, sample
from albert.hub import model_folder
from albert.predict.predictor import Predictor
from albert.storage.files import INT8, disk_errors, folder_fingerprint, manifest_entries, require_output
from albert.storage.locks import run_lock
from albert.storage.replacing import NEXT, copy_file, new_files, settle


def export_int8(
    model: str | Path,
    dev: str | Path | DataSource,
    *,
    budget: float = 0.005,
    force: bool = False,
) -> Export:
    """Calibrates int8 on texts of a labelled file, and stores it in the model's folder if the score there stays.

    Raises `AlbertError`: bad-model when the score falls by more than `budget` and `force` is not given (nothing is
    written then), bad-data for bad rows, usage for a budget outside 0..1.
    """
    require_share("--budget", budget)
    folder = model_folder(model)
    if folder.name == NEXT:  # a killed writer may have left a half-replaced model
        folder = folder.parent
        with run_lock(folder):
            settle(folder)
    require_output(folder / INT8)
    version = folder_fingerprint(folder)
    source = DataSource.of(dev)
    predictor = Predictor.load(folder, precision="fp32", early_exit=False).fitted(source)
    before = predictor.evaluate(source)
    calibration = calibrate(predictor.model, sample(predictor, before))
    predictor.engine = Engine(predictor.model, calibration=calibration)
    after = predictor.evaluate(source)
    done = passed(f"int8 of {folder}", folder / INT8, before, after, budget=budget, force=force, instead="bf16")
    told = {
        "metric": done.metric,
        "before": f"{done.before:.6f}",
        "after": f"{done.after:.6f}",
        "dev": Path(source.path).name,
    }
    _store(folder, calibration, told, before=version)
    return done


def _store(folder: Path, calibration: Calibration, told: dict[str, str], *, before: str) -> None:
    """Writes the calibration to the folder. If a manifest lists the folder's files, both are replaced together.

    Raises `AlbertError`: locked while another process writes the model, bad-model if another process has replaced it.
    """
    with disk_errors(folder), run_lock(folder):
        if folder_fingerprint(folder) != before:
            raise AlbertError(
                ErrorKind.MODEL, str(folder), expected="the model that was read", got="another, written meanwhile",
                hint="repeat the command",
            )  # fmt: skip
        entries = manifest_entries(folder)
        if entries is None:
            save_ranges(folder / INT8, calibration, told)
            return
        with new_files(folder) as staged:
            for name in [*entries, *(path.name for path in folder.glob("README.md"))]:
                if name != INT8:
                    copy_file(folder / name, staged / name)
            save_ranges(staged / INT8, calibration, told)
