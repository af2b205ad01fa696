"""One line of a provider's usage export, in the form that all of them are brought into."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from msgspec import Struct

from tollkeeper.core.errors import CallerError
from tollkeeper.core.money import nano_from_usd

FIELDS = ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost_nano")
_LAST = 253_402_300_799_999
_MOST = 10**18


class Line(Struct, frozen=True, kw_only=True):
    """What a provider says was used. What it does not say is None; where it says nothing, the line only covers its time."""

    start: int
    """Unix milliseconds."""
    end: int | None
    """None where the line is of one request, made at `start`."""
    model: str | None = None
    """None where it is of all models together."""
    request_id: str | None = None
    request_written: str | None = None
    """As the export has it."""
    requests: int | None = None
    input_tokens: int | None = None
    """With what was cached or written to a cache."""
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    """With reasoning."""
    cost_nano: int | None = None

    @property
    def says_nothing(self) -> bool:
        return all(getattr(self, field) is None for field in FIELDS)


class Export(Struct):
    """A whole export."""

    format: str
    """"openai usage", …"""
    provider: str | None
    """What the provider is called here as a rule."""
    lines: Iterator[Line]
    remarks: list[str] = []
    """Complete only when the lines have been read."""


def unreadable(what: str) -> CallerError:
    """An export that is not what it seems to be."""
    return CallerError(f"The export cannot be read: {what}.", code="invalid_export")


def moment(given: object) -> int:
    """Unix seconds or ISO 8601, UTC where no zone is given, in Unix milliseconds. Raises CallerError."""
    text = str(given).strip()
    try:
        number = Decimal(text)
        milliseconds = int(number * 1000 if number < 10**11 else number)
    except InvalidOperation:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            raise unreadable(f"'{text[:40]}' is no time") from None
        milliseconds = int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise unreadable(f"'{text[:40]}' is no time") from None
    if not 0 <= milliseconds <= _LAST:
        raise unreadable(f"'{text[:40]}' is no time")
    return milliseconds


def count(given: object) -> int | None:
    """A whole number, also as "10.0"; None where there is nothing. Raises CallerError."""
    number = _decimal(given)
    if number is None:
        return None
    if number != int(number) or not 0 <= number <= _MOST:
        raise unreadable(f"'{given}' is no count")
    return int(number)


def nano(given: object, *, cents: bool = False) -> int | None:
    """An amount of USD in nano-USD; None where there is nothing. Raises CallerError."""
    number = _decimal(given)
    if number is None:
        return None
    if abs(number) > _MOST:
        raise unreadable(f"'{given}' is no amount")
    return nano_from_usd(number / 100 if cents else number)


def added(*parts: int | None) -> int | None:
    """The sum of what is there; None where nothing is."""
    found = [part for part in parts if part is not None]
    return sum(found) if found else None


def _decimal(given: object) -> Decimal | None:
    text = "" if given is None else str(given).strip().removeprefix("$").replace(",", "")
    if not text:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise unreadable(f"'{text[:40]}' is no number") from None
    if not number.is_finite():
        raise unreadable(f"'{text[:40]}' is no number")
    return number
