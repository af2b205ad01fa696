"""Ids that a batch file gives its rows must be its own: found out before anything is spent, in little memory."""

from array import array
from collections.abc import Iterable
from hashlib import blake2b

from tollkeeper.bulk.records import Record

_PARTS = 256
NAME = "custom_id"


def repeated(records: Iterable[Record], most: int = 5) -> list[str]:
    """Up to `most` custom_ids that stand in two rows, with both lines. Eight bytes a row are kept, and no text.

    Two ids that share a hash by chance (once in 10^6 files of ten million rows) would be called equal.
    """
    parts = [array("Q") for _ in range(_PARTS)]
    places = [array("Q") for _ in range(_PARTS)]
    for record in records:
        if record.problem is None and isinstance(record.value, dict) and NAME in record.value:
            hashed = int.from_bytes(blake2b(repr(record.value[NAME]).encode(), digest_size=8).digest(), "big")
            parts[hashed % _PARTS].append(hashed)
            places[hashed % _PARTS].append(record.line)
    found: list[str] = []
    for hashes, lines in zip(parts, places, strict=True):
        if len(set(hashes)) == len(hashes):
            continue
        first: dict[int, int] = {}
        for hashed, line in zip(hashes, lines, strict=True):
            if hashed in first:
                found.append(f"line {line} has the {NAME} of line {first[hashed]}")
            first.setdefault(hashed, line)
    return sorted(found, key=lambda words: int(words.split()[1]))[:most]
