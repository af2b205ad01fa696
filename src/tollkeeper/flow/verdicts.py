"""What an attempt's bad end means: whether another may be made, where, and who must rest meanwhile; pure."""

from typing import Literal

import msgspec
from msgspec import Struct

from tollkeeper.core.account import Beyond
from tollkeeper.core.call import Call, Reply, Upload
from tollkeeper.core.errors import TollkeeperError, UpstreamError
from tollkeeper.core.ports import Headers
from tollkeeper.wire import rate_headers

Next = Literal["answer", "elsewhere", "anywhere"]
"""answer: it is the caller's answer; elsewhere: another target may do better; anywhere: so may this one, a little later."""


class Verdict(Struct, frozen=True):
    """What follows from one bad end."""

    next: Next
    code: str
    """For logs and notes: `upstream_429`."""
    rate: bool = False
    """The target asks to be left alone, for `wait` seconds."""
    wait: float | None = None
    key_refused: bool = False
    broken: bool = False
    """It was no answer at all: one more is asked for, not two."""
    ill: bool = False
    """It counts as the target's failure though HTTP called it a success."""


_SLOW = frozenset(("upstream_connect_timeout", "upstream_timeout", "upstream_stalled", "upstream_deadline"))
"""Who was silent once is not waited for again by the same caller."""
_SET_UP_WRONG = frozenset(("upstream_redirect", "upstream_certificate_invalid", "upstream_tls_failed"))
_BROKEN = frozenset(("upstream_bad_answer", "upstream_invalid_http", "upstream_headers_too_large"))
_NO_CREDIT = ("insufficient_quota", "billing", "credit", "exceeded_current_quota", "account_deactivated", "balance")
"""In codes only: a mere rate limit's message may tell where to buy a greater one."""
_BEYOND: tuple[tuple[Beyond, tuple[str, ...]], ...] = (
    ("context_length", ("context_length", "context length", "context window", "too long", "too many tokens")),
    ("content_filter", ("content_filter", "content_policy", "content filter", "moderation", "flagged", "safety")),
    ("model_not_found", ("model_not_found", "does not exist", "no such model", "unknown model", "model not found")),
)
_CALLERS = ("invalid", "not_found", "unsupported", "context_length", "content", "policy", "safety", "moderation")
"""What codes of error events hold that are about the request."""
_MOST_LOOKED_AT = 16 * 1024


class _Error(Struct):
    code: object = None
    type: object = None
    message: object = None


class _Envelope(Struct):
    error: _Error | str | None = None
    message: object = None


_decode = msgspec.json.Decoder(_Envelope).decode


def judged(
    end: Reply | TollkeeperError,
    status: int,
    headers: Headers,
    error_said: str | None,
    now: float,
    beyond: frozenset[Beyond] = frozenset(),
) -> Verdict:
    """Of an attempt that ended with a reply of status >= 400, a success that is no more than the error `error_said`, or an
    error.

    `status` and `headers` are the provider's (0 and none where it did not answer); `now` is Unix seconds.
    """
    if isinstance(end, TollkeeperError):
        return _of_error(end)
    if error_said is not None:
        return _of_stream(error_said)
    return _of_status(status, headers, end.body, now, beyond)


def _of_error(error: TollkeeperError) -> Verdict:
    code = error.code or "error"
    if not isinstance(error, UpstreamError):
        return Verdict("answer", code)
    if code == "upstream_auth_failed":
        return Verdict("elsewhere", code, key_refused=True)
    if code in _SLOW or code in _SET_UP_WRONG:
        return Verdict("elsewhere", code)
    return Verdict("anywhere", code, broken=code in _BROKEN)


def _of_stream(code: str) -> Verdict:
    if code.isdecimal() and len(code) == 3:
        verdict = _of_status(int(code), [], b"", 0.0, frozenset())
        return msgspec.structs.replace(verdict, ill=code[0] == "5")
    low = code.lower()
    if any(word in low for word in _NO_CREDIT):
        return Verdict("elsewhere", code, key_refused=True)
    if "rate_limit" in low or low in ("too_many_requests", "resource_exhausted"):
        return Verdict("anywhere", code, rate=True)
    if any(word in low for word in _CALLERS):
        return Verdict("answer", code)
    return Verdict("anywhere", code, ill=True)


def _of_status(status: int, headers: Headers, body: bytes, now: float, beyond: frozenset[Beyond]) -> Verdict:
    code = f"upstream_{status}"
    if status == 429:
        if any(word in _said(body)[0] for word in _NO_CREDIT):
            return Verdict("elsewhere", code, key_refused=True)
        return Verdict(_here(headers), code, rate=True, wait=rest_asked(headers, now))
    if status in (408, 409, 425) or status >= 500:
        wait = rest_asked(headers, now) if status >= 500 else None
        repeatable = status not in (501, 505)
        return Verdict(_here(headers) if repeatable else "elsewhere", code, rate=wait is not None, wait=wait)
    if status == 402 or (status == 400 and "credit balance" in _said(body)[1]):  # 400: Anthropic's
        return Verdict("elsewhere", code, key_refused=True)
    if status == 403 and not _about(body, "content_filter"):
        return Verdict("elsewhere", code)
    if status in (400, 403, 404, 413, 422) and any(_about(body, kind) for kind in beyond):
        return Verdict("elsewhere", code)
    return Verdict("answer", code)


def _here(headers: Headers) -> Next:
    """Whether the same target may be asked again: it may forbid that."""
    refused = any(name == b"x-should-retry" and value.strip().lower() == b"false" for name, value in headers)
    return "elsewhere" if refused else "anywhere"


def rest_asked(headers: Headers, now: float) -> float | None:
    """Seconds that a provider asks to be left alone, at most 300; None where it does not say.

    retry-after where there is one; else the longest reset among the limits that are used up, or the shortest of all.
    """
    said = rate_headers.read(headers, now)
    if said.retry_after is not None:
        return said.retry_after
    limits = (said.requests, said.tokens, said.input_tokens, said.output_tokens)
    resets = [(limit.remaining, limit.reset) for limit in limits if limit is not None and limit.reset is not None]
    if not resets:
        return None
    used_up = [reset for remaining, reset in resets if remaining is not None and remaining <= 0]
    return min(max(used_up) if used_up else min(reset for _, reset in resets), rate_headers.LONGEST_WAIT)


def _said(body: bytes) -> tuple[str, str]:
    """An error's code and type, and its message, in lower case; as much as can be made out."""
    try:
        envelope = _decode(body[:_MOST_LOOKED_AT])
    except (msgspec.DecodeError, RecursionError):
        return "", ""
    error = envelope.error
    if isinstance(error, _Error):
        return f"{error.code} {error.type}".lower(), str(error.message).lower()
    return "", f"{error} {envelope.message}".lower()


def _about(body: bytes, kind: Beyond) -> bool:
    said = " ".join(_said(body))
    return any(word in said for known, words in _BEYOND if known == kind for word in words)


def may_repeat(call: Call, *, sent: bool, status: int) -> bool:
    """Whether making an attempt again does no harm. `sent`: whether the request left us at all; `status`: what came, 0 for
    no answer.

    A body that was passed on as it came is gone. What makes something of its own kind (a file, a batch, a thread) may have
    been done though no answer came; a call for a model's work is worth its price twice, and each time is recorded.
    """
    if not sent:
        return True
    if isinstance(call.body, Upload):
        return False
    if call.metered and call.model is not None:
        return True
    return call.method in ("GET", "PUT", "DELETE") or status in (425, 429)
