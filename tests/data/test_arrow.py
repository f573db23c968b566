"""Values of Parquet files that Python's types cannot hold."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest

from albert.data.arrow import rows_of

NS = 1_700_000_000_123_456_789
ISO = "2023-11-14T22:13:20.123456789"
TIME = pa.timestamp("ns")


@pytest.mark.parametrize(
    ("value", "kind", "found"),
    [
        (NS, TIME, ISO),
        (NS, pa.timestamp("ns", "Asia/Kolkata"), "2023-11-15T03:43:20.123456789+05:30"),
        (-1, TIME, "1969-12-31T23:59:59.999999999"),
        (NS - 789, TIME, datetime.datetime(2023, 11, 14, 22, 13, 20, 123456)),
        (123_456_789, pa.time64("ns"), "00:00:00.123456789"),
        (1, pa.duration("ns"), "PT0.000000001S"),
        (-1_500_000_001, pa.duration("ns"), "-PT1.500000001S"),
        ({"at": NS, "n": 1}, pa.struct([("at", TIME), ("n", pa.int8())]), {"at": ISO, "n": 1}),
        ([NS, None], pa.list_(TIME), [ISO, None]),
        ([("k", NS)], pa.map_(pa.string(), TIME), [("k", ISO)]),
        ([{"at": [NS]}], pa.list_(pa.struct([("at", pa.list_(TIME))])), [{"at": [ISO]}]),
        ("x", pa.string(), "x"),
        ([1.5], pa.list_(pa.float64()), [1.5]),
    ],
)
def test_no_value_is_lost(value: Any, kind: pa.DataType, found: Any) -> None:
    batch = pa.record_batch({"n": [1, 2], "v": pa.array([value, None], kind)})
    assert list(rows_of(batch)) == [{"n": 1, "v": found}, {"n": 2, "v": None}]


def test_years_beyond_pythons_are_told() -> None:
    [row] = rows_of(pa.record_batch({"v": pa.array([10**15], pa.timestamp("s"))}))
    assert str(10**15) in row["v"]
