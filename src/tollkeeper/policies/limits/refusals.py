"""What a caller is told of its limits: headers in OpenAI's format on every answer, and refusals that say when to return.

https://platform.openai.com/docs/guides/rate-limits
"""

from collections.abc import Iterable, Sequence

from tollkeeper.core.errors import CallerError
from tollkeeper.core.gcra import Allowance, Standing
from tollkeeper.core.ports import Headers
from tollkeeper.core.rate import RateLimit, shown
from tollkeeper.policies.limits.effective import Effective

AN_END = 1_000_000
"""Microseconds after which a call is told to try again where it has to wait for others to end: nobody knows when."""
_THEIRS = (b"x-ratelimit-", b"anthropic-ratelimit-")


def headers(effective: Effective, standings: Sequence[Standing]) -> Headers:
    """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, each of the tightest limit of its kind."""
    found: Headers = []
    if effective.requests:
        at = _tightest(effective.requests, standings)
        remaining, reset, _ = standings[at]
        found += (
            (b"x-ratelimit-limit-requests", effective.amounts[at]),
            (b"x-ratelimit-remaining-requests", b"%d" % remaining),
            (b"x-ratelimit-reset-requests", duration(reset)),
        )
    if effective.tokens:
        at = _tightest(effective.tokens, standings)
        remaining, reset, _ = standings[at]
        found += (
            (b"x-ratelimit-limit-tokens", effective.amounts[at]),
            (b"x-ratelimit-remaining-tokens", b"%d" % remaining),
            (b"x-ratelimit-reset-tokens", duration(reset)),
        )
    return found


def _tightest(among: Sequence[int], standings: Sequence[Standing]) -> int:
    """Where least remains, and of those what takes longest to be whole again."""
    if len(among) == 1:
        return among[0]
    return min(among, key=lambda at: (standings[at][0], -standings[at][1]))


def without_theirs(answered: Iterable[tuple[bytes, bytes]]) -> Headers:
    """An answer's headers less what the provider says of its own limits, which are this gate's and not the caller's."""
    return [header for header in answered if not header[0].startswith(_THEIRS)]


def duration(microseconds: int) -> bytes:
    """As OpenAI writes them: "0s", "20ms", "8.64s", "6m0s", "1h0m0s". Rounded up to the millisecond."""
    ms = -(-microseconds // 1000)
    if ms < 1000:
        return b"%dms" % ms if ms else b"0s"
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    text = b"%d" % seconds if not ms else (b"%d.%03d" % (seconds, ms)).rstrip(b"0")
    if not minutes:
        return text + b"s"
    if minutes < 60:
        return b"%dm%bs" % (minutes, text)
    return b"%dh%dm%bs" % (*divmod(minutes, 60), text)


def refusal(effective: Effective, costs: Sequence[int], standings: Sequence[Standing], more: Headers) -> CallerError:
    """For a call that may come again: it names the limit that keeps it waiting longest, and when that ends."""
    at = decisive(standings)
    allowance, wait = effective.allowances[at], standings[at][2]
    if wait <= 0:
        wait = AN_END
    limit = allowance.limit
    what = (
        f"{limit.amount} calls of {_whose(limit)} are under way, as many as may be"
        if limit.dimension == "concurrency"
        else f"Rate limit reached for {_whose(limit)}: {shown(limit)}, asked for {costs[at]}, {standings[at][0]} left"
    )
    return CallerError(
        f"{what}. Try again in {duration(wait).decode()}.",
        status=429,
        type=_type(limit),
        code="rate_limit_exceeded",
        retryable=True,
        headers=(
            *more,
            (b"retry-after", b"%d" % -(-wait // 1_000_000)),
            (b"retry-after-ms", b"%d" % -(-wait // 1000)),
        ),
    )


def never(allowance: Allowance, cost: int, more: Headers) -> CallerError:
    """For a call that is larger than all that its limit allows in a whole span."""
    return CallerError(
        f"This request may take {cost} {allowance.limit.dimension.replace('_', ' ')}, more than the limit of "
        f"{_whose(allowance.limit)} allows at any time: {shown(allowance.limit)}. Send less, or set a lower max_tokens.",
        status=429,
        type=_type(allowance.limit),
        code="rate_limit_too_small",
        headers=(*more, (b"x-should-retry", b"false")),
    )


def decisive(standings: Sequence[Standing]) -> int:
    """Which limit a refused call waits for longest; one whose end is unknown only where there is no other."""
    return max(range(len(standings)), key=lambda at: (standings[at][2] > 0, standings[at][2] < 0, standings[at][2]))


def _whose(limit: RateLimit) -> str:
    if limit.scope == "key":
        return "this key"
    return "all keys together" if limit.of is None else f"the {limit.scope} '{limit.of}'"


def _type(limit: RateLimit) -> str:
    return "tokens" if limit.dimension.endswith("tokens") else "requests"
