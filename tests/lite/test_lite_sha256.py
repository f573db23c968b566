"""SHA-256 of albert-lite against hashlib and the standard's examples, and what it finds in model folders."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lites import on_arm

pytestmark = pytest.mark.ci  # the first one builds the library
# FIPS 180-4, examples of NIST's "Cryptographic Standards and Guidelines": the message and its digest.
EXAMPLES = [
    (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
    (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
]
MESSAGES = st.tuples(st.binary(max_size=300), st.integers(1, 130))


@pytest.fixture(params=["here", "arm"])
def command(request: pytest.FixtureRequest, lite_build: Path) -> list[str]:
    """Here by the processor's own instructions, if it has them; on ARM without."""
    return [str(lite_build / "digests")] if request.param == "here" else on_arm("digests")


def digests(command: list[str], messages: Sequence[tuple[bytes, int]]) -> list[str]:
    """Of messages that are added so many bytes at a time."""
    given = b"".join(b"%d %d\n%b" % (len(message), step, message) for message, step in messages)
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout.decode().split()


def test_the_standard_s_examples(command: list[str]) -> None:
    assert digests(command, [(message, 1 << 16) for message, _ in EXAMPLES]) == [digest for _, digest in EXAMPLES]


@given(messages=st.lists(MESSAGES, min_size=20, max_size=60))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_message_in_parts_of_any_size(command: list[str], messages: list[tuple[bytes, int]]) -> None:
    assert digests(command, messages) == [hashlib.sha256(message).hexdigest() for message, _ in messages]
