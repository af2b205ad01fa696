"""/api/usage and /api/events: what the ledger says."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from tollkeeper.core.errors import CallerError
from tollkeeper.core.events import Event
from tollkeeper.core.keys import Key
from tollkeeper.core.money import usd_from_nano
from tollkeeper.stores.sqlite.reports import Reports

if TYPE_CHECKING:  # commands of the terminal use what is here without a server
    from starlette.requests import Request

    from tollkeeper.app import App

T = TypeVar("T")


class Named(Protocol):
    """Who knows keys by id and by name."""

    def get(self, reference: str) -> Key: ...


_MOST = 1000
_LAST = 253_402_300_799_999
"""The end of the year 9999, in Unix milliseconds."""


async def usage(request: "Request", app: "App") -> object:
    """?by=key|owner|team|model|provider|day&since=&until=, times as ISO 8601 or Unix milliseconds."""
    asked = request.query_params
    by = asked.get("by", "key")
    since, until = stretch(asked.get("since"), asked.get("until"))
    rows = await ask(app, lambda reports: reports.usage(by, since, until))
    return {"by": by, "data": [row.as_dict(by) for row in rows]}


async def events(request: "Request", app: "App") -> object:
    """?key=&since=&until=&request_id=&before=&limit=; newest first; `next` is the `before` of the page that follows."""
    asked = request.query_params
    limit = asked.get("limit", "100")
    if not re.fullmatch("[0-9]{1,4}", limit) or not 1 <= int(limit) <= _MOST:
        raise CallerError(f"limit must be 1 to {_MOST}.", code="invalid_value", param="limit")
    meant = of_key(asked["key"], app.key_store) if asked.get("key") else None
    since, until = stretch(asked.get("since"), asked.get("until"))
    found = await ask(
        app,
        lambda reports: reports.events(
            key=meant,
            since=since,
            until=until,
            request_id=asked.get("request_id"),
            before=asked.get("before"),
            limit=int(limit) + 1,
        ),
    )
    page = found[: int(limit)]
    following = f"{page[-1].request_id}:{page[-1].attempt}" if len(found) > len(page) else None
    return {"data": [event_dict(event) for event in page], "next": following}


def event_dict(event: Event) -> dict[str, Any]:
    """An event for JSON: usage flat, cost exact."""
    fields = msgspec.structs.asdict(event)
    tokens = msgspec.structs.asdict(fields.pop("usage"))
    money = {f"{name}_usd": fields.pop(f"{name}_nano") for name in ("cost", "held", "saved")}
    trace = fields.pop("trace")
    return {
        **fields,
        **tokens,
        **{name: None if nano is None else usd_from_nano(nano) for name, nano in money.items()},
        "trace": None if trace is None else msgspec.json.decode(trace),
    }


def stretch(since: str | None, until: str | None, *, prefix: str = "") -> tuple[int | None, int | None]:
    """Both in Unix milliseconds; `prefix` is what stands before their names where they are given.

    Raises CallerError for what is no time, and for an end before its beginning: that would be silently nothing.
    """
    first, last = moment(since, f"{prefix}since"), moment(until, f"{prefix}until")
    if first is not None and last is not None and last < first:
        raise CallerError(
            f"{prefix}until must not be before {prefix}since.", code="invalid_value", param=f"{prefix}until"
        )
    return first, last


def moment(given: str | None, name: str) -> int | None:
    """ISO 8601 (a date alone is its midnight, no zone is UTC) or Unix milliseconds. Raises CallerError."""
    if given is None or given == "":
        return None
    if re.fullmatch("[0-9]{9,15}", given) and int(given) <= _LAST:
        return int(given)
    try:
        when = datetime.fromisoformat(given)
    except ValueError:
        raise CallerError(
            f"{name} must be a date or time like 2026-11-20 or 2026-11-20T08:00:00+01:00.",
            code="invalid_value",
            param=name,
        ) from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def of_key(given: str, keys: Named) -> str:
    """The id of the key that is meant, by id or by name; an id that is not known stays, as events outlive keys.

    Raises CallerError: 404 for a name that no key has, 409 for one that several have.
    """
    try:
        return keys.get(given).id
    except CallerError as error:
        if error.status == 404 and given.startswith("key_"):
            return given
        raise


async def ask(app: "App", question: Callable[[Reports], T]) -> T:
    """Asks on a thread: a report may take long and calls must not wait for it."""

    def answer() -> T:
        reports = Reports(app.home)
        try:
            return question(reports)
        finally:
            reports.close()

    import asyncio  # which the commands that use this module have no need of

    return await asyncio.get_running_loop().run_in_executor(None, answer)
