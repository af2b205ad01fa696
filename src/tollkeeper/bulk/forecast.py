"""What a job will probably take: rows, tokens, money and time, from a sample of its rows and, if wanted, real answers."""

import random
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import Struct

from tollkeeper.bulk.records import Record
from tollkeeper.bulk.shaping import Request, RowProblem, Shape
from tollkeeper.core.money import Price, usd_from_nano
from tollkeeper.core.usage import Usage

SAMPLE = 200
"""Rows whose tokens are counted."""
_DRAWS = 400
_A_MESSAGE = 4
"""Tokens that a chat message has around its text, about."""

Count = Callable[[str | None, str], int]
"""(model, text) -> tokens."""
PriceOf = Callable[[str], Price | None]
"""The price of a model by the name that is asked for."""


class Answered(Struct, frozen=True):
    """One row of the sample that was really asked."""

    input_tokens: int
    output_tokens: int
    cost_nano: int | None
    seconds: float


class Range(Struct, frozen=True):
    """For the whole job: as likely more as less than `p50`; one time in ten more than `p90`."""

    p50: float
    p90: float


class Forecast(Struct, frozen=True, kw_only=True):
    """None where it cannot be told: output tokens without `max_tokens` and without real answers, and what hangs on them."""

    rows: int
    broken: int
    """Rows of them that cannot be asked."""
    sampled: int
    answered: int
    input_tokens: Range
    output_tokens: Range | None
    """Without real answers the most that `max_tokens` allows."""
    cost_usd: tuple[str, str] | None
    """p50 and p90."""
    seconds: Range | None


class Chosen:
    """A reservoir: every row is as likely in it as any other, however many come. Rows that cannot be asked are counted."""

    def __init__(self, records: Iterable[Record], shape: Shape, draw: random.Random) -> None:
        self.requests: list[Request] = []
        self.rows = self.broken = 0
        for record in records:
            self.rows += 1
            try:
                request = shape.request(record)
            except RowProblem:
                self.broken += 1
                continue
            if len(self.requests) < SAMPLE:
                self.requests.append(request)
            elif (place := draw.randrange(self.rows - self.broken)) < SAMPLE:
                self.requests[place] = request


def forecast(
    found: Chosen,
    answered: Sequence[Answered],
    *,
    count: Count,
    price_of: PriceOf,
    concurrency: int,
    rpm: float | None,
    tpm: float | None,
    draw: random.Random,
    timed: bool = True,
) -> Forecast:
    """Of all rows, by drawing from the sample again and again; how long they take only where they are `timed` by calls."""
    asked = found.rows - found.broken
    bodies = [msgspec.json.decode(request.body) for request in found.requests]
    inputs = [each.input_tokens for each in answered] or [_input(body, count) for body in bodies]
    outputs: list[int] | None = [each.output_tokens for each in answered] or None
    if outputs is None:
        most = [body.get("max_completion_tokens", body.get("max_tokens")) for body in bodies]
        if most and all(isinstance(each, int) for each in most):
            outputs = most
    costs: list[int] | None = None
    if answered and all(each.cost_nano is not None for each in answered):
        costs = [each.cost_nano or 0 for each in answered]
    elif outputs is not None and not answered:
        prices = [price_of(str(body.get("model"))) for body in bodies]
        if all(price is not None for price in prices):
            costs = [
                price.cost(Usage(input_tokens=inside, output_tokens=outside))
                for price, inside, outside in zip(prices, inputs, outputs, strict=True)
                if price is not None
            ]
    money = None if costs is None else _range(costs, asked, draw)
    tokens = _range(inputs, asked, draw)
    spans = [each.seconds for each in answered]
    seconds = None
    if timed and (spans or rpm or tpm):
        work = _range(spans, asked, draw) if spans else Range(0.0, 0.0)
        least = max(asked / rpm * 60 if rpm else 0.0, tokens.p50 / tpm * 60 if tpm else 0.0)
        one = _range(spans, min(1, asked), draw) if spans else work
        seconds = Range(max(work.p50 / concurrency, one.p50, least), max(work.p90 / concurrency, one.p90, least))
    return Forecast(
        rows=found.rows,
        broken=found.broken,
        sampled=len(found.requests),
        answered=len(answered),
        input_tokens=tokens,
        output_tokens=None if outputs is None else _range(outputs, asked, draw),
        cost_usd=None if money is None else (usd_from_nano(round(money.p50)), usd_from_nano(round(money.p90))),
        seconds=seconds,
    )


def _range(values: Sequence[float], rows: int, draw: random.Random) -> Range:
    """The sum over all rows, where they are like the sample (a bootstrap of its mean)."""
    if not values:
        return Range(0.0, 0.0)
    means = sorted(sum(draw.choices(values, k=len(values))) / len(values) for _ in range(_DRAWS))
    return Range(means[_DRAWS // 2] * rows, means[_DRAWS * 9 // 10] * rows)


def _input(body: dict[str, object], count: Count) -> int:
    model = str(body.get("model"))
    total = 0
    messages = body.get("messages")
    if isinstance(messages, list):
        for message in messages:
            content = message.get("content") if isinstance(message, dict) else None
            total += _A_MESSAGE + count(
                model, content if isinstance(content, str) else msgspec.json.encode(content).decode()
            )
    else:
        given = body.get("input", body.get("prompt"))
        total += count(model, given if isinstance(given, str) else msgspec.json.encode(given).decode())
    return total
