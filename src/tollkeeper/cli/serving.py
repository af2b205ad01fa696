"""Where a home's gate serves: written when it begins, read by commands that talk with it."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from tollkeeper.core.errors import CallerError, GateError

_FILE = "serving.json"


class Serving(Struct, frozen=True):
    """Addresses, as http://host:port."""

    gate: str
    operator: str


def write(home: Path, serving: Serving) -> None:
    """In one step. Raises GateError."""
    path = home / _FILE
    fresh = path.with_suffix(".new")
    try:
        fresh.touch(0o600)  # as all that is kept in a home
        fresh.write_bytes(msgspec.json.encode(serving) + b"\n")
        fresh.replace(path)
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}.") from None


def read(home: Path) -> Serving:
    """The last gate's: whether it still serves, asking it tells. Raises CallerError (404) where none ever did."""
    try:
        return msgspec.json.decode((home / _FILE).read_bytes(), type=Serving)
    except (OSError, msgspec.DecodeError):
        raise CallerError(
            f"No gate has served {home} yet. Start one with `tollkeeper serve`, or say --gate URL.", status=404
        ) from None


def kept_secret(path: Path) -> str | None:
    """What a file of the home holds that only its owner may read; None where there is none. Raises GateError."""
    try:
        return path.read_text("ascii").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise GateError(f"{path} cannot be read: {error}.") from None


def keep_secret(path: Path, secret: str) -> None:
    """For its owner only. Raises GateError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(secret + "\n")
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}.") from None
