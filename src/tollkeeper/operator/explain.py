"""/api/explain/{id}: what became of one request and why, with the numbers that decided it."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tollkeeper.core import notes, receipt
from tollkeeper.core.errors import CallerError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.money import MILLION, usd_from_nano
from tollkeeper.operator.usage import ask

if TYPE_CHECKING:  # commands of the terminal use what is here without a server
    from starlette.requests import Request

    from tollkeeper.app import App
    from tollkeeper.stores.sqlite.dossier import Dossier
    from tollkeeper.stores.sqlite.reports import Reports

Note = list[Any]
_LOOKS = 25
_MOMENT = 0.02
"""Seconds between two of them."""


async def explain(request: "Request", app: "App") -> object:
    """All about the request of that `x-request-id`."""
    request_id = checked(request.path_params["id"])
    return explained(await ask(app, lambda reports: looked_up(reports, request_id)))


def looked_up(reports: "Reports", request_id: str, sleep: Callable[[float], None] = time.sleep) -> "Dossier":
    """What the store has about a request; blocks for a moment where that is not its end.

    An end is written some milliseconds after the answer's last byte, later where tokens are counted (flow/counting.py) and
    where a call was refused: who asks as soon as the answer is there shall not be told that it is under way, or unknown.
    """
    for _ in range(_LOOKS):
        found = reports.request(request_id)
        if (found.key_id is not None or found.calls) and not found.holds:
            break
        sleep(_MOMENT)
    return found


def checked(given: str) -> str:
    """A request id, as it is or with `:ATTEMPT` after it. Raises CallerError."""
    request_id = given.strip().lower().partition(":")[0]
    if not re.fullmatch(r"[0-9a-f]{32}(\.\d{1,9})?", request_id):
        raise CallerError(
            f"'{given[:64]}' is no request id: it has 32 digits and letters a to f, as in the answer's x-request-id.",
            code="invalid_value",
            param="id",
        )
    return request_id


def explained(found: "Dossier") -> dict[str, Any]:
    """The explanation for JSON. Raises CallerError (404) where the store has nothing."""
    key_id = found.key_id
    if key_id is None and found.calls:
        raise CallerError(
            f"Request {found.request_id} was one to a published function, which made these calls: "
            f"{', '.join(found.calls)}. Ask for one of them.",
            status=404,
            code="request_not_found",
        )
    if key_id is None:
        raise CallerError(
            f"Nothing is known of request {found.request_id}. It came without a good key, was turned away while too many "
            "were, was not for a model, or its details are older than what is kept.",
            status=404,
            code="request_not_found",
        )
    events, holds, refusal = found.events, found.holds, found.refusal
    began: list[Event | Hold] = [*events, *holds]
    first = min(began, key=lambda record: record.attempt, default=None)
    noted = _noted(events, refusal.notes if refusal else None)
    costs = [event.cost_nano for event in events]
    return {
        "request_id": found.request_id,
        "state": "under way" if holds else "done" if events else "refused",
        "time": iso(first.started_at if first else refusal.at if refusal else 0),
        "key": {
            "id": key_id,
            "name": found.key_name,
            "owner": first.owner if first else found.owner,
            "team": first.team if first else found.team,
        },
        "asked": {
            "operation": first.operation if first else refusal.operation if refusal else None,
            "dialect": first.dialect if first else None,
            "model": first.model_asked if first else refusal.model_asked if refusal else None,
            "streamed": first.streamed if first else None,
        },
        "rules": notes.rules(noted),
        "targets": _targets(noted, first),
        "attempts": [_attempt(event) for event in events],
        "under_way": [_open(hold) for hold in holds],
        "refusal": None
        if refusal is None
        else {
            "time": iso(refusal.at),
            "status": refusal.status,
            "code": refusal.code,
            "message": refusal.message,
        },
        "cost_usd": usd_from_nano(sum(cost or 0 for cost in costs)),
        "unpriced": costs.count(None),
        "saved_usd": usd_from_nano(sum(event.saved_nano for event in events)),
    }


def _noted(events: list[Event], refused: str | None) -> list[Note]:
    """Each attempt's event has the notes of those before it: the longest has them all."""
    traces = [msgspec.json.decode(trace) for trace in (refused, *(event.trace for event in events)) if trace]
    return max(traces, key=len, default=[])


def _targets(noted: list[Note], first: Event | Hold | None) -> list[dict[str, Any]]:
    """In the order in which they were looked at. Where there is but one, nothing was noted."""
    told = notes.targets(noted)
    if told or first is None or (isinstance(first, Event) and first.outcome == "cached"):
        return told
    name = first.provider if first.model is None else f"{first.provider}/{first.model}"
    return [{"target": name, "chosen": True, "reason": "the only one"}]


def _attempt(event: Event) -> dict[str, Any]:
    return {
        "attempt": event.attempt,
        "provider": event.provider,
        "model": event.model,
        "model_used": event.model_used,
        "started": iso(event.started_at),
        "first_byte_ms": _rounded(event.first_byte_ms),
        "duration_ms": _rounded(event.duration_ms),
        "overhead_ms": _rounded(event.overhead_ms),
        "outcome": event.outcome,
        "status": event.status,
        "error_code": event.error_code,
        "quality": event.quality,
        "held_usd": None if event.held_nano is None else usd_from_nano(event.held_nano),
        "usage": msgspec.structs.asdict(event.usage),
        "usage_raw": event.usage_raw,
        "cost": cost(event),
    }


def cost(event: Event) -> dict[str, Any]:
    """How an event's cost came about: lines that add up to it, or why there are none."""
    told: dict[str, Any] = {
        "usd": None if event.cost_nano is None else usd_from_nano(event.cost_nano),
        "price_version": event.price_version,
        "lines": None,
        "rounding_usd": None,
        "adds_up": None,
        "why": None,
    }
    if event.outcome == "cached":
        told["why"] = "answered from the cache: nothing was sent, nothing is charged"
    elif event.cost_nano is None:
        told["why"] = (
            "no price is known for this model, so the cost is unknown"
            if event.price_version is None
            else "the provider told no usage, and none can be counted, so the cost is unknown"
        )
    elif event.price_version is None:
        told["why"] = "nothing that is charged for came back"
    else:
        prices = [note for note in msgspec.json.decode(event.trace or "[]") if note[0] == receipt.NOTE]
        price = receipt.noted(prices[-1], event.price_version) if prices else None
        if price is not None:
            lines = receipt.lines(price, event.usage)
            exact = sum(line.amount_femto for line in lines)
            told["lines"] = [_line(line) for line in lines]
            told["rounding_usd"] = receipt.usd_from_femto(event.cost_nano * MILLION - exact)
            told["adds_up"] = receipt.rounded(lines) == event.cost_nano
        elif prices:
            told["why"] = f"charged by {event.price_version} in other units than tokens, which were not noted"
        elif event.cost_nano == 0:
            told["why"] = "nothing that is charged for came back"
        else:
            told["why"] = "the unit prices were not noted, and those of today may be others"
    return told


def _line(line: receipt.Line) -> dict[str, Any]:
    per = "usd_each" if line.kind in receipt.EACH else "usd_per_million"
    told: dict[str, Any] = {"kind": line.kind, "count": line.tokens, per: usd_from_nano(line.unit_nano)}
    if line.priced_as is not None:
        told["priced_as"] = line.priced_as
    return told | {"usd": receipt.usd_from_femto(line.amount_femto)}


def _open(hold: Hold) -> dict[str, Any]:
    return {
        "attempt": hold.attempt,
        "provider": hold.provider,
        "model": hold.model,
        "started": iso(hold.started_at),
        "expires": iso(hold.expires_at),
    }


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 2)


def iso(milliseconds: int) -> str:
    """Unix milliseconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
