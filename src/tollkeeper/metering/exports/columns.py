"""Any CSV, by a map of its columns: `time=Date,model=Model,input=In,output=Out,cost=USD`."""

import re
from collections.abc import Mapping

from tollkeeper.core.errors import CallerError
from tollkeeper.metering.exports.lines import Line, count, moment, nano, unreadable

_NAMES = ("time", "until", "model", "request", "requests", "input", "cached", "output", "cost")
_OURS = re.compile(r"[0-9a-f]{32}(\.[0-9]+)*")
_FIGURES = frozenset(("requests", "input", "cached", "output", "cost"))


def parsed(text: str) -> dict[str, str]:
    """The map: our name to theirs. Raises CallerError."""
    found: dict[str, str] = {}
    for pair in text.split(","):
        name, equals, column = pair.partition("=")
        name, column = name.strip(), column.strip()
        if not equals or name not in _NAMES or not column or name in found:
            raise _wrong(f"'{pair.strip()}' is not one of {', '.join(_NAMES)}, each once, with '=' and a column's name")
        found[name] = column
    if not ({"time", "request"} & found.keys() and _FIGURES & found.keys()):
        raise _wrong(f"a time or a request is needed, and one of {', '.join(sorted(_FIGURES))}")
    return found


def of_row(row: Mapping[str, str], columns: Mapping[str, str]) -> Line:
    """One row. Raises CallerError."""
    given = {name: (row.get(column) or "").strip() for name, column in columns.items()}
    if not given.get("time") and not given.get("request"):
        raise unreadable("a row has neither time nor request")
    return Line(
        start=moment(given["time"]) if given.get("time") else 0,
        end=moment(given["until"]) if given.get("until") else None,
        model=given.get("model") or None,
        request_id=_plain(given.get("request") or "") or None,
        request_written=given.get("request") or None,
        requests=count(given.get("requests")) if "requests" in given else None,
        input_tokens=count(given.get("input")),
        cached_input_tokens=count(given.get("cached")),
        output_tokens=count(given.get("output")),
        cost_nano=nano(given.get("cost")),
    )


def _plain(written: str) -> str:
    """An id of the gate's is known with dashes, as UUIDs are written, and in capitals; any other is what it is."""
    plain = written.replace("-", "").lower()
    return plain if _OURS.fullmatch(plain) else written


def _wrong(what: str) -> CallerError:
    return CallerError(f"--columns: {what}.", code="invalid_value", param="columns")
