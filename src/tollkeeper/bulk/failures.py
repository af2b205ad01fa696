"""What a failed try means: try again, slow down and try again, give this row up, or give the job up; pure."""

from enum import Enum

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tollkeeper.bulk.answers import BadAnswer


class Verdict(Enum):
    """What follows from one answer."""

    WELL = "well"
    AGAIN = "again"
    """The provider or the way to it failed: the same may work later."""
    RATE = "rate"
    """Too many, too fast: later, and slower."""
    ROW = "row"
    """This request will never work."""
    JOB = "job"
    """No request will: the key, the quota or the model is wrong."""


_AGAIN = frozenset((408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524))
RATE = frozenset((429, 529))
_JOB = frozenset((401, 402, 403, 404))
"""A 404 says that there is no such model or address: paths are the same for all rows."""
PERHAPS_ITS_OWN = frozenset((403, 404))
"""Statuses among them that may be one row's alone: it names a model of its own, or a provider will not have its text
(https://openrouter.ai/docs/api-reference/errors: 403, moderation)."""
_QUOTA = frozenset(("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded"))
HELD = "budget_held"
"""Only calls under way stand in the way (docs/errors.md)."""
_NOBODY = frozenset(("ledger_unavailable", "upstream_auth_failed", "price_unknown", "budget_exceeded"))
"""Nothing can be charged, so nothing is sent; there is no money left; or the provider refuses the gate's own key."""


UNREACHED = frozenset(("upstream_unknown_host", "upstream_refused"))
"""Nobody was there to be asked: a wrong address, or a server that does not run (docs/errors.md)."""


class Failure(Struct, frozen=True):
    """Why a try did not succeed, as it stands in the output."""

    type: str
    http_status: int
    code: str | None
    message: str
    request_id: str | None = None
    said: str | UnsetType = UNSET
    """What came in place of the answer that was asked for, where that is why; left out elsewhere."""


class _Error(Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None


class _Body(Struct):
    error: _Error | str | None = None
    message: str | None = None


_decode = msgspec.json.Decoder(_Body).decode
LONGEST_MESSAGE = 500


def verdict(status: int, code: str | None, type: str | None = None) -> Verdict:
    """Of an answer with this status and error code. A status of 0 is no answer at all."""
    if 200 <= status < 300:
        return Verdict.WELL
    if code == HELD:
        return Verdict.RATE
    if code in _NOBODY or code in _QUOTA or type in _QUOTA:
        return Verdict.JOB
    if status in RATE:
        return Verdict.RATE
    if status in _JOB:
        return Verdict.JOB
    if status == 0 or status in _AGAIN or status >= 500:
        return Verdict.AGAIN
    return Verdict.ROW


def failure(status: int, body: bytes, request_id: str | None = None) -> Failure:
    """What an error answer says, whatever it is made of."""
    message, kind, code = "", None, None
    try:
        found = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        message = body[: LONGEST_MESSAGE * 4].decode("utf-8", "replace")
    else:
        if isinstance(found.error, _Error):
            message, kind = found.error.message, found.error.type
            code = None if found.error.code is None else str(found.error.code)
        else:
            message = found.error or found.message or ""
    message = " ".join(message.split())[:LONGEST_MESSAGE] or f"The answer had status {status} and said nothing."
    return Failure(kind or "upstream_error", status, code, message, request_id)


def bad_answer(status: int, bad: BadAnswer, request_id: str | None = None) -> Failure:
    """What an answer of a good status says that is not what was asked for."""
    return Failure("bad_answer", status, "bad_answer", str(bad)[:LONGEST_MESSAGE], request_id, bad.said)
