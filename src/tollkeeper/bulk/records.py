"""What a row of input says: a record with its place in the file, or why it cannot be read."""

from typing import Any

from msgspec import Struct


class Record(Struct, frozen=True):
    """One row of the input as it stands there."""

    index: int
    """Counted from 0, over everything that is a row, broken ones too."""
    line: int
    """Where it begins in the file, counted from 1; its number where the file has no lines."""
    value: str | dict[str, Any] | None
    """A plain prompt, or named columns; None where it could not be read, or where nobody wanted it."""
    problem: str | None = None
    """Why it cannot be asked, for the row's error; `value` is then what was there all the same, where that is known."""
    said: str | None = None
    """What stood in a row that is broken, where `value` does not hold all of it."""
