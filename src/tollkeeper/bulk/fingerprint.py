"""What makes a job this job and no other: its input and everything that shapes its requests."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

_SAMPLES = 64
_PIECE = 4096


def input_print(path: Path | None, size: int | None = None) -> str:
    """A hash of up to `size` bytes of the file, its whole size if None: the size, and 64 pieces spread over it.

    An input may grow at its end, so a resume hashes as many bytes as there were. Standard input has none.
    """
    if path is None:
        return "-"
    end = path.stat().st_size if size is None else size
    digest = hashlib.blake2b(str(end).encode(), digest_size=16)
    with path.open("rb") as stream:
        for number in range(_SAMPLES):
            stream.seek(end * number // _SAMPLES)
            digest.update(stream.read(max(0, min(_PIECE, end - stream.tell()))))
    return f"{end}:{digest.hexdigest()}"


def differences(before: Mapping[str, str], now: Mapping[str, object], path: Path | None) -> list[str]:
    """What of the job has changed since it was begun, one line each; nothing where it is the same job."""
    found = []
    for name, value in now.items():
        text = msgspec.json.encode(value).decode()
        if name in before and before[name] != text:
            found.append(f"{name}: was {_short(before[name])}, is now {_short(text)}")
    noted = before.get("input", "-")
    if noted != "-":
        size = int(noted.partition(":")[0])
        if path is None:
            found.append("input: was a file, is now standard input")
        elif path.stat().st_size < size:
            found.append(f"input: had {size} bytes, has now {path.stat().st_size}")
        elif input_print(path, size) != noted:
            found.append("input: its content has changed")
    return found


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text)} characters)"
