"""A budget: how much money or how many tokens a key, an owner, a team or everything may use in a window of time."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from tollkeeper.core import windows
from tollkeeper.core.money import nano_from_usd, usd_from_nano
from tollkeeper.core.windows import Window

Scope = Literal["all", "team", "owner", "key"]
"""Widest first. Budgets and limits of all scopes that a call falls under hold at once."""
Unit = Literal["usd", "tokens"]
MOST = 10**18
"""The largest amount, in nano-USD or tokens: a thousand million dollars; sums of it still fit a store's 64 bits."""

FOREVER = 1 << 62
"""The end of a window without an end, in Unix milliseconds."""

_WINDOWS: dict[str, Window] = {"hour": "hour", "day": "day", "week": "week", "month": "month", "total": "total"}
_TEXT = re.compile(r"(\d[\d_]*(?:\.\d+)?)\s*([A-Za-z]+)\s*(?:/\s*([A-Za-z]+))?((?:\s+\S+)*)", re.ASCII)
_FORM = (
    "expected '5 USD/month', '1000000 tokens/day' or '20 USD', perhaps with a time zone, 'soft' or 'adaptive' after it"
)


class Budget(Struct, frozen=True, kw_only=True):
    """One budget as written down. Several may hold for one key: 5 USD a day and 50 USD a month."""

    scope: Scope
    of: str | None
    """The key's id, the owner's or team's name; None for `all`."""
    amount: int
    """Nano-USD or tokens, input and output together."""
    unit: Unit
    window: Window
    zone: str = "UTC"
    """IANA name of the time zone in which days, weeks and months begin."""
    soft: bool = False
    """Warn and let pass."""
    adaptive: bool = False
    """Hold what this key's calls have really cost in place of the worst case (see docs/budgets.md for the overshoot)."""

    @property
    def id(self) -> str:
        """What tells it from others, and stays while its amount changes: `key:key_1:usd:month:UTC`."""
        of = "" if self.of is None else f":{self.of}"
        return f"{self.scope}{of}:{self.unit}:{self.window}:{self.zone}"


class Bounds(Struct, frozen=True):
    """What one request can make a provider charge at most, as far as the request itself tells: tokens."""

    input_tokens: int
    """No tokenizer makes more tokens of the request's text than it has bytes."""
    elsewhere: bool = False
    """Whether it also refers to what is not in it, or is no text (an image, a file, an earlier answer, a search):
    then its bytes bound nothing."""
    output_tokens: int | None = None
    """For each choice, as the request limits them; None where it does not."""
    choices: int = 1
    field: str | None = None
    """The member that limits the output of one choice at this provider; None where there is no such member."""
    stated: bool = True
    """Whether `output_tokens` stands in a member that this provider obeys."""


class Slice(Struct, frozen=True):
    """Which events one window of a budget is about: those of `of` that began in [start, end) (Unix milliseconds)."""

    scope: Scope
    of: str | None
    start: int
    end: int


class Spent(Struct, frozen=True):
    """Sums of events."""

    nano: int = 0
    tokens: int = 0


def parse(text: str, scope: Scope, of: str | None) -> Budget:
    """ "5 USD/month Europe/Berlin" as a budget of `scope`. Raises ValueError with what is wrong and what was expected."""
    found = _TEXT.fullmatch(text.strip()) if len(text) <= 200 else None
    if found is None:
        raise ValueError(f"'{text[:80]}' is no budget: {_FORM}")
    unit = _unit(found[2], text)
    window = _WINDOWS.get((found[3] or "total").lower())
    if window is None:
        raise ValueError(f"'{text}': '{found[3]}' is no window: expected hour, day, week, month or total")
    soft = adaptive = False
    zone = None
    for word in found[4].split():
        if word == "soft" and not soft:
            soft = True
        elif word == "adaptive" and not adaptive:
            adaptive = True
        elif zone is None and windows.known(word):
            zone = word
        else:
            raise ValueError(f"'{text}': '{word}' is neither a time zone (Europe/Berlin) nor 'soft' nor 'adaptive'")
    if zone is not None and window in ("hour", "total"):
        raise ValueError(f"'{text}': only days, weeks and months begin in a time zone")
    if soft and adaptive:
        raise ValueError(f"'{text}': a soft budget holds nothing back, so it is not adaptive")
    return Budget(
        scope=scope,
        of=of,
        amount=_amount(found[1], unit, text),
        unit=unit,
        window=window,
        zone=zone or "UTC",
        soft=soft,
        adaptive=adaptive,
    )


def parse_all(texts: Iterable[str], scope: Scope, of: str | None) -> tuple[Budget, ...]:
    """Each as `parse` reads it. Raises ValueError too where two bound the same; one may warn before the other refuses."""
    budgets = tuple(parse(text, scope, of) for text in texts)
    seen: dict[tuple[str, bool], Budget] = {}
    for budget in budgets:
        other = seen.setdefault((budget.id, budget.soft), budget)
        if other is not budget:
            raise ValueError(f"'{shown(other)}' and '{shown(budget)}' bound the same: keep one of them")
    return budgets


def shown(budget: Budget) -> str:
    """The text form that `parse` reads back."""
    window = "" if budget.window == "total" else f"/{budget.window}"
    zone = "" if budget.zone == "UTC" else f" {budget.zone}"
    kind = " soft" * budget.soft + " adaptive" * budget.adaptive
    return f"{amount_shown(budget.amount, budget.unit)}{window}{zone}{kind}"


def amount_shown(amount: int, unit: Unit) -> str:
    """ "4.5 USD", "1000 tokens"."""
    return f"{usd_from_nano(amount)} USD" if unit == "usd" else f"{amount} tokens"


def _unit(word: str, text: str) -> Unit:
    if word.lower() == "usd":
        return "usd"
    if word.lower() in ("token", "tokens"):
        return "tokens"
    raise ValueError(f"'{text}': '{word}' is no unit: expected USD or tokens")


def _amount(digits: str, unit: Unit, text: str) -> int:
    number = Decimal(digits.replace("_", ""))
    if number > MOST or (exact := number.scaleb(9) if unit == "usd" else number) % 1 or exact > MOST:
        smallest = "of 0.000000001 USD" if unit == "usd" else "of tokens"
        raise ValueError(f"'{text}': expected a whole number {smallest}, {amount_shown(MOST, unit)} at most")
    return nano_from_usd(number) if unit == "usd" else int(number)
