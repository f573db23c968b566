"""API keys: a file of salted hashes, compared in constant time, with a rate limit for each owner."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from albert.errors import AlbertError, ErrorKind
from albert.serve.core.refusals import Reason, Refusal, overloaded
from albert.storage.pipes import open_reader

_PREFIX = "albert-"
_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):(key|admin):([0-9a-f]{32}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Key:
    """The owner of a key, whether it is an administrator's, and its stored hash."""

    owner: str
    admin: bool
    salt: bytes
    digest: bytes

    def line(self) -> str:
        """The key's line in a key file."""
        return f"{self.owner}:{'admin' if self.admin else 'key'}:{self.salt.hex()}:{self.digest.hex()}"


def new_key(owner: str, *, admin: bool = False) -> tuple[str, Key]:
    """A new key: the secret for its owner, and the entry for the key file.

    The secret has 256 random bits, so one round of SHA-256 is enough to hide it. Raises `AlbertError` (usage) for a
    name that cannot be an owner's.
    """
    text = _PREFIX + secrets.token_urlsafe(32)
    salt = secrets.token_bytes(16)
    key = Key(owner, admin, salt, _digest(salt, text))
    if not _LINE.fullmatch(key.line()):
        raise AlbertError(ErrorKind.USAGE, "the key's owner", expected="letters, digits, dots, dashes, underscores")
    return text, key


def _digest(salt: bytes, text: str) -> bytes:
    return hashlib.sha256(salt + text.encode("utf-8", "surrogatepass")).digest()


class Keys:
    """The keys of a file. Looking up a wrong key takes as long as looking up a right one."""

    def __init__(self, keys: list[Key]) -> None:
        self._keys = keys

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Reads one key per line. Blank lines and lines that begin with # are skipped.

        Raises `AlbertError` (bad-config) for a file without keys, for a malformed line (named by its number, without
        its text), and for a file that others may write.
        """
        try:
            with open_reader(path) as file:
                lines = file.read().decode("utf-8").splitlines()
            mode = path.stat().st_mode
        except AlbertError as error:
            raise AlbertError(ErrorKind.CONFIG, f"key file {path}", expected=error.expected, got=error.got) from None
        except (OSError, ValueError) as error:
            raise AlbertError(ErrorKind.CONFIG, f"key file {path}", got=type(error).__name__) from None
        if mode & 0o022:
            raise AlbertError(
                ErrorKind.CONFIG, f"key file {path}", expected="a file that its owner alone may write",
                got=f"mode {mode & 0o777:o}", hint="chmod go-w it",
            )  # fmt: skip
        keys = []
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise AlbertError(
                    ErrorKind.CONFIG, f"{path}:{number}", expected="owner:key:salt:hash",
                    hint="make one: albert serve-key OWNER >> FILE",
                )  # fmt: skip
            owner, kind, salt, digest = match.groups()
            keys.append(Key(owner, kind == "admin", bytes.fromhex(salt), bytes.fromhex(digest)))
        if not keys:
            raise AlbertError(
                ErrorKind.CONFIG, f"key file {path}", expected="at least one key", hint="albert serve-key OWNER >> FILE"
            )
        return cls(keys)

    def find(self, authorization: str) -> Key:
        """The key in an Authorization header. Raises `Refusal` (unauthorized)."""
        scheme, _, text = authorization.partition(" ")
        found = None
        for key in self._keys:  # compares with every key, so that the time does not tell which one matches
            if hmac.compare_digest(_digest(key.salt, text.strip()), key.digest):
                found = key
        if found is None or scheme.lower() != "bearer":
            raise Refusal(Reason.UNAUTHORIZED, "expected a valid key: Authorization: Bearer KEY")
        return found


class RateLimit:
    """A token bucket per owner: `rate` tokens per second flow in, at most `burst` are kept, and a request takes one."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}  # (tokens, when)

    def take(self, owner: str) -> None:
        """Takes one token. Raises `Refusal` (overloaded) with the seconds until the next token."""
        now = time.monotonic()
        tokens, when = self._buckets.get(owner, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - when) * self.rate)
        if tokens < 1:
            self._buckets[owner] = tokens, now
            raise overloaded("this key asks too often", retry_after=(1 - tokens) / self.rate)
        self._buckets[owner] = tokens - 1, now
