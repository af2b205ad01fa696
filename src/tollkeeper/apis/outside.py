"""Other HTTP APIs as a Python API has them: `outside["weather"].get("/today")`, by what [outside.NAME] says of each.

Errors are ours, never a library's. Redirections are not followed: one that leads elsewhere would take the credentials
along, or lead inside. A call that has a price is held and written down like a model's: it counts in every budget in money.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from tollkeeper.apis import typed
from tollkeeper.apis.calls import Calls
from tollkeeper.apis.options import OutsideAccount
from tollkeeper.core.account import Account, Patience, Target
from tollkeeper.core.budget import Bounds
from tollkeeper.core.call import Call
from tollkeeper.core.errors import GateError, TollkeeperError, UpstreamError
from tollkeeper.core.ports import Budgets, Headers, Ledger, Outbound
from tollkeeper.core.provider import Provider
from tollkeeper.core.usage import NOTHING, Heard, Reported
from tollkeeper.dialects.openai_endpoints import OpenAIEndpoint
from tollkeeper.flow.attempt import Attempt
from tollkeeper.flow.retries import RetryOptions, backoff

PREFIX = "outside:"
"""Before an outside API's name where an event names a provider."""
_REPEATABLE = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS"))
"""Asking twice does what asking once does (RFC 9110, 9.2.2)."""
_METHODS = _REPEATABLE | {"POST", "PATCH"}
_PASSING = frozenset((429, 502, 503, 504))
_UNSENT = frozenset(("upstream_refused", "upstream_unknown_host", "upstream_connect_timeout", "no_connection_left"))
"""No connection was made, so nothing was asked."""
_SAFE = "/%:@!$&'()*+,;=~-._"
_TEXTUAL = ("text/html", "application/xhtml+xml")


class OutsideError(UpstreamError):
    """An outside API failed. `answer` is what it said, where it said anything."""

    code = "outside_error"

    def __init__(self, message: str, *, answer: "Fetched | None" = None, **about: Any) -> None:
        super().__init__(message, **about)
        self.answer = answer


class Fetched(Struct, frozen=True, kw_only=True):
    """An outside API's answer, its status below 300."""

    api: str
    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8; what is not valid is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self, kind: Any = Any) -> Any:
        """The body as `kind`. Raises OutsideError (outside_bad_answer) where it is not that."""
        try:
            return typed.decode(self.body, kind)
        except (msgspec.DecodeError, RecursionError) as error:
            found = self.headers.get("content-type", "").partition(";")[0].strip()
            words = f"with {found or 'something'} that is not JSON" if found in _TEXTUAL else f"otherwise: {error}"
            if not self.body.strip():
                words = "with nothing"
            raise OutsideError(
                f"'{self.api}' answered {words}.", code="outside_bad_answer", retryable=False, answer=self
            ) from None


@dataclass(frozen=True, slots=True)
class Access:
    """How functions reach outside: one gate's."""

    accounts: Callable[[], Mapping[str, OutsideAccount]] = dict
    outbound: Outbound | None = None
    ledger: Ledger | None = None
    budgets: Budgets | None = None
    attempt: Callable[[Call, Target, int, Patience], Attempt] | None = None
    draw: Callable[[], float] = float
    now: Callable[[], float] = float
    """Unix seconds."""


class Outside:
    """A parameter of this type is given to a published function: the APIs that the configuration names."""

    def __init__(self, calls: Calls, access: Access) -> None:
        self._calls = calls
        self._access = access

    def __getitem__(self, name: str) -> "OutsideApi":
        account = self._access.accounts().get(name)
        if account is None:
            known = ", ".join(sorted(self._access.accounts())) or "none"
            raise GateError(
                f"There is no outside API '{name}' in the configuration, which has: {known}.",
                status=500,
                code="outside_not_found",
                retryable=False,
            )
        return OutsideApi(account, self._calls, self._access)


class OutsideApi:
    """One of them. Every method raises TollkeeperError, and only that: OutsideError where the API is to blame."""

    def __init__(self, account: OutsideAccount, calls: Calls, access: Access) -> None:
        self._account = account
        self._calls = calls
        self._access = access

    async def get(self, path: str, **how: Any) -> Fetched:
        """As `request`."""
        return await self.request("GET", path, **how)

    async def post(self, path: str, **how: Any) -> Fetched:
        """As `request`."""
        return await self.request("POST", path, **how)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        body: bytes = b"",
    ) -> Fetched:
        """One call. `path` is below the base URL; `json`, where given, is the body.

        What failed in passing is tried again where asking twice does no harm. Raises OutsideError, also for statuses of
        300 and more.
        """
        account = self._account
        if method not in _METHODS:
            raise self._wrong(f"'{method}' is not a method that can be sent")
        url = account.base_url + self._path(path, query or {})
        sent = [*account.headers, (b"accept-encoding", b"identity")]
        for name, value in (headers or {}).items():
            sent.append((_header(name).lower(), _header(value)))
        if json is not None:
            body = typed.encode(json)
            sent.append((b"content-type", b"application/json"))
        call = self._calls.outside(DIALECT, method, path)
        number = 0
        while True:
            number += 1
            try:
                return await self._once(call, number, method.encode(), url, sent, body)
            except OutsideError as error:
                passing = method in _REPEATABLE and error.retryable
                if number > account.retries or not (passing or error.code in _UNSENT):
                    raise
            await asyncio.sleep(backoff(RetryOptions(), number - 1, self._access.draw))

    async def _once(self, call: Call, number: int, method: bytes, url: str, headers: Headers, body: bytes) -> Fetched:
        attempt = await self._held(call, number)
        outbound = self._access.outbound
        assert outbound is not None
        try:
            sent = await outbound.send(method, url, headers, body, self._account.timeouts)
            try:
                await sent.head()
                if attempt is not None:
                    attempt.begun(sent)
                content, whole = await sent.read(self._account.max_bytes)
            finally:
                sent.close()
            fetched = Fetched(
                api=self._account.name,
                status=sent.status,
                headers={name.decode("latin-1"): value.decode("latin-1") for name, value in sent.headers},
                body=content,
            )
            self._check(fetched, whole)
        except OutsideError as error:
            _settle(attempt, error)
            raise
        except TollkeeperError as error:
            words = error.message.replace("The provider", f"'{self._account.name}'", 1)
            own = OutsideError(words, status=error.status, code=error.code, retryable=error.retryable)
            _settle(attempt, own)
            raise own from None
        except BaseException:
            if attempt is not None:
                attempt.settle("client_left", "client_left")
            raise
        if attempt is not None:
            attempt.hear(Heard(Reported(NOTHING, b"{}")))
            attempt.settle("ok")
        return fetched

    async def _held(self, call: Call, number: int) -> Attempt | None:
        """The record of a call that has a price, held and on disk. Raises CallerError where a budget refuses it."""
        account, access = self._account, self._access
        if account.price is None:
            return None
        assert access.attempt is not None
        assert access.budgets is not None
        assert access.ledger is not None
        name = PREFIX + account.name
        provider = Provider(name=name, base_url=account.base_url, auth="none", stream_usage="never")
        target = Target(Account(name=name, provider=provider), None, account.price)
        attempt = access.attempt(call, target, number, account.timeouts)
        try:
            if access.budgets.concern(call.key):
                reservation = await access.budgets.reserve(call, target, attempt.hold.started_at)
                if reservation is not None:
                    attempt.reserve(reservation)
            await access.ledger.hold(attempt.hold)
        except BaseException as error:
            attempt.forgo(error)
            raise
        attempt.dispatch()
        return attempt

    def _check(self, fetched: Fetched, whole: bool) -> None:
        name, status = self._account.name, fetched.status
        if 300 <= status < 400:
            raise OutsideError(
                f"'{name}' answered with status {status}, a redirection, which is not followed.",
                code="outside_redirect",
                retryable=False,
                answer=fetched,
            )
        if status >= 400:
            raise OutsideError(f"'{name}' answered with status {status}.", retryable=status in _PASSING, answer=fetched)
        if not whole:
            raise OutsideError(
                f"The answer of '{name}' has more than {self._account.max_bytes} bytes.",
                code="outside_bad_answer",
                retryable=False,
            )

    def _path(self, path: str, query: Mapping[str, Any]) -> str:
        """The path below the base URL, encoded: nothing in it can leave that. Raises TollkeeperError."""
        plain = path if path.startswith("/") else f"/{path}"
        parts = plain.replace("%2e", ".").replace("%2E", ".").split("/")
        if ".." in parts or "." in parts or "\\" in plain or "?" in plain or "#" in plain:
            raise self._wrong(f"'{path[:64]}' is no path below the base URL; a query is given as `query`")
        pairs = [*self._account.query, *((name, value) for name, value in query.items() if value is not None)]
        encoded = urlencode(pairs, doseq=True)
        return quote(plain, safe=_SAFE) + (f"?{encoded}" if encoded else "")

    def _wrong(self, words: str) -> TollkeeperError:
        return TollkeeperError(f"The call of '{self._account.name}' cannot be made: {words}.", code="api_failed")


def _header(text: str) -> bytes:
    encoded = text.encode("utf-8")
    if any(byte < 32 or byte == 127 for byte in encoded):
        raise TollkeeperError("A header of an outside call has a control character in it.", code="api_failed")
    return encoded


def _settle(attempt: Attempt | None, error: OutsideError) -> None:
    if attempt is not None:
        attempt.settle("upstream_error", error.code)


class _OutsideDialect(OpenAIEndpoint):
    """Calls of outside APIs have no tokens."""

    def bounds(self, path: str, members: Mapping[str, Any], size: int, provider: Provider) -> Bounds:
        return Bounds(0, output_tokens=0)


DIALECT = _OutsideDialect("outside", "outside", needs_model=False, json_answer=False)
