"""`albert prepare --ray`: the same chunks through Ray Data, with files read in parallel, to the same shards.

Every machine of the cluster needs this package and must see inputs and output under the same paths.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from albert.corpus.chunks import Cut, make_shard, read_chunks
from albert.corpus.job import Job
from albert.corpus.shards import ShardInfo
from albert.errors import AlbertError, ErrorKind, require_extra

# Reading requests less than tokenising. This also keeps Ray from fusing both into one task per file.
_READING_CPUS, _TOKENISING_CPUS = 0.5, 1
Row = dict[str, Any]


@contextmanager
def ray_session(address: str) -> Iterator[None]:
    """Connects to the cluster at `address`, or starts a Ray on this machine ("local"). Raises `AlbertError`."""
    ray = require_extra("ray", "ray")
    data = require_extra("ray.data", "ray")
    try:
        ray.init(address, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:
        raise AlbertError(
            ErrorKind.CONFIG,
            f"--ray {address}",
            expected="the address of a Ray cluster that answers, or local",
            got=str(error).strip().splitlines()[0][:200],
        ) from error
    data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its errors come as exceptions, too
    try:
        yield
    finally:
        ray.shutdown()


def on_ray(job: Job, known: frozenset[str], check: Callable[[], None]) -> Iterator[ShardInfo]:
    """Makes the missing shards, within `ray_session`. Raises `AlbertError` as the local job does."""
    ray = require_extra("ray", "ray")
    data = require_extra("ray.data", "ray")
    cut, folder = job.cut, job.folder.resolve()
    data.DataContext.get_current().target_max_block_size = cut.chunk_bytes
    files = [
        {"number": number, "path": str(entry.path.resolve()), "source": entry.name}
        for number, entry in enumerate(job.inputs)
    ]
    # Errors travel as rows, because Ray's handling of exceptions differs between its versions.
    shards = (
        data.from_items(files, override_num_blocks=len(files))
        .flat_map(lambda row: _chunks(row, cut, known), num_cpus=_READING_CPUS)
        .map(lambda row: _shard(row, folder, cut.language), num_cpus=_TOKENISING_CPUS)
    )
    try:
        for row in shards.iter_rows():
            check()
            item = pickle.loads(row["item"])
            if isinstance(item, AlbertError):
                raise item
            yield item
    except ray.exceptions.RayError as error:
        raise AlbertError(
            ErrorKind.INTERNAL,
            "Ray gave up",
            got=str(error).strip().splitlines()[-1][:200],
            hint="repeat the command to go on: finished shards are kept",
        ) from error


def _chunks(file: Row, cut: Cut, known: frozenset[str]) -> Iterator[Row]:
    try:
        for chunk in read_chunks(file["number"], Path(file["path"]), file["source"], cut):
            if chunk.name not in known:
                yield {"item": pickle.dumps(chunk)}
    except AlbertError as error:
        yield {"item": pickle.dumps(error)}


def _shard(row: Row, folder: Path, language: str) -> Row:
    item = pickle.loads(row["item"])
    try:
        result = item if isinstance(item, AlbertError) else make_shard(item, folder, language)
    except AlbertError as error:
        result = error
    return {"item": pickle.dumps(result)}
