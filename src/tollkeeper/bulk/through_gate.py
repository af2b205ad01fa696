"""Rows asked through a running gate, or any server that speaks OpenAI's API, over HTTP."""

from decimal import Decimal
from urllib.parse import urlsplit

from tollkeeper.bulk.shaping import Request
from tollkeeper.bulk.tries import Answer
from tollkeeper.core.account import Patience
from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.ids import Clock
from tollkeeper.core.money import nano_from_usd
from tollkeeper.core.ports import Outbound
from tollkeeper.dialects import openai_answers, openai_errors
from tollkeeper.wire import rate_headers

_LONGEST = 256 * 1024 * 1024


class ThroughGate:
    """Implements `running.Ask`. `url` is the gate's address, with or without /v1; raises CallerError where it is none."""

    def __init__(self, outbound: Outbound, url: str, secret: str, *, now: Clock, timeouts: Patience) -> None:
        if not _is_address(url):
            raise CallerError(
                f"A gate's address begins with http:// or https://, not '{url}'.", code="invalid_value", param="gate"
            )
        self._outbound = outbound
        self._url = url.rstrip("/").removesuffix("/v1") + "/v1/"
        self._headers = [
            (b"authorization", b"Bearer " + secret.encode()),
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
        ]
        self._now = now
        self._timeouts = timeouts

    async def __call__(self, request: Request, attempt: int) -> Answer:
        """The gate's answer, its own errors too; the cost as it reports it."""
        answer = None
        try:
            answer = await self._outbound.send(
                b"POST", self._url + request.path, self._headers, request.body, self._timeouts
            )
            await answer.head()
            body, _ = await answer.read(_LONGEST)
        except TollkeeperError as error:
            return Answer(0, openai_errors.body(error))
        finally:
            if answer is not None:
                answer.close()
        headers = dict(answer.headers)
        cost = headers.get(b"x-tollkeeper-cost")
        return Answer(
            answer.status,
            body,
            cost_nano=_nano(cost),
            request_id=headers.get(b"x-request-id", b"").decode("ascii", "replace") or None,
            rates=rate_headers.read(answer.headers, self._now()),
            tokens_used=_used(body) if answer.status == 200 else None,
        )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _nano(cost: bytes | None) -> int | None:
    try:
        return None if cost is None else nano_from_usd(Decimal(cost.decode("ascii")))
    except (ArithmeticError, ValueError):
        return None


def _used(body: bytes) -> int | None:
    try:
        reported = openai_answers.read(body).reported
    except ValueError:
        return None
    return None if reported is None else reported.usage.input_tokens + reported.usage.output_tokens
