"""A client of APISIX's Admin API, ours or another's: resources by kind and id, in words as it says them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import CallerError, TollkeeperError, UpstreamError
from tollkeeper.core.ports import Outbound
from tollkeeper.routes.resource_schemas import without_times

PREFIX = "/apisix/admin"
_LONGEST = 64 * 1024 * 1024
_PATIENCE = Patience(connect=5.0, first_byte=30.0, idle=30.0, total=60.0)
_MOST_WORDS = 2_000


class AdminApi:
    """`url` is its address, with or without /apisix/admin. Everything raises TollkeeperError."""

    def __init__(self, outbound: Outbound, url: str, key: str) -> None:
        self._outbound = outbound
        self._url = url.rstrip("/").removesuffix(PREFIX) + PREFIX
        self._headers = [
            (b"x-api-key", key.encode("ascii", "replace")),
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
        ]

    async def all(self, kind: str, user: str = "") -> dict[str, dict[str, Any]]:
        """Resources by id, without their times; nothing where it has none of that kind. Credentials are a `user`'s."""
        path = f"/consumers/{quote(user, safe='')}/credentials" if kind == "credentials" else f"/{kind}"
        status, told = await self._ask(b"GET", path)
        if status in (400, 404):
            return {}
        try:
            return {_id(kind, user, each): without_times(each["value"]) for each in told["list"]}
        except (TypeError, LookupError):
            raise _strange(status) from None

    async def get(self, kind: str, id: str) -> dict[str, Any] | None:
        """One, without its times."""
        status, told = await self._ask(b"GET", _path(kind, id))
        if status == 404:
            return None
        try:
            return without_times(told["value"])
        except (TypeError, LookupError):
            raise _strange(status) from None

    async def make(self, kind: str, id: str, value: Mapping[str, Any] | None) -> None:
        """It becomes so; None: it is away with."""
        if value is None:
            status, told = await self._ask(b"DELETE", _path(kind, id))
            if status == 404:
                return
        else:
            sent = without_times(dict(value))
            if kind == "plugin_metadata":
                sent.pop("id", None)
            if isinstance(sent.get("upstream"), dict):
                sent["upstream"] = without_times(sent["upstream"])
            status, told = await self._ask(b"PUT", _path(kind, id), sent)
        if status >= 300:
            raise CallerError(_words(told, status), code="invalid_resource")

    async def check(self, kind: str, value: Mapping[str, Any]) -> None:
        """Raises CallerError (400) where the Admin API says that it cannot be. Some cannot say it beforehand."""
        status, told = await self._ask(b"POST", f"/schema/validate/{kind}", without_times(dict(value)))
        if status == 400:
            raise CallerError(_words(told, status), code="invalid_resource")

    async def plugins(self) -> list[str]:
        """Names."""
        status, told = await self._ask(b"GET", "/plugins/list")
        if status != 200 or not isinstance(told, list):
            raise _strange(status)
        return [str(name) for name in told]

    async def plugin(self, name: str) -> dict[str, Any]:
        """Its schemas. Raises CallerError (404) where there is none."""
        path = f"/plugins/{quote(name, safe='')}"
        status, told = await self._ask(b"GET", path)
        if status != 200:
            raise CallerError(f"unknown plugin [{name}]", status=404, code="resource_not_found")
        _, personal = await self._ask(b"GET", f"{path}?schema_type=consumer")
        return {"schema": told, "consumer_schema": personal if isinstance(personal, dict) else None}

    async def _ask(self, method: bytes, path: str, value: Any = None) -> tuple[int, Any]:
        body = b"" if value is None else msgspec.json.encode(value)
        answer = await self._outbound.send(method, self._url + path, self._headers, body, _PATIENCE)
        try:
            await answer.head()
            found, whole = await answer.read(_LONGEST)
        finally:
            answer.close()
        if answer.status in (401, 403):
            raise CallerError("The Admin API does not take this key.", status=401, code="invalid_api_key")
        if answer.status >= 500 or not whole:
            raise _strange(answer.status)
        try:
            return answer.status, msgspec.json.decode(found) if found else None
        except ValueError:
            return answer.status, found.decode("utf-8", "replace")


def _path(kind: str, id: str) -> str:
    if kind == "credentials":
        user, _, credential = id.partition("/")
        return f"/consumers/{quote(user, safe='')}/credentials/{quote(credential, safe='')}"
    return f"/{kind}/{quote(id, safe='/' if kind == 'secrets' else '')}"


def _id(kind: str, user: str, each: Mapping[str, Any]) -> str:
    """From a resource's path in the store: /apisix/routes/1, /apisix/consumers/ada/credentials/2."""
    last = str(each["key"]).partition(f"/{kind}/")[2]
    return f"{user}/{last}" if kind == "credentials" else last


def _words(told: Any, status: int) -> str:
    if isinstance(told, dict):
        told = told.get("error_msg") or told.get("message") or told.get("description")
    return str(told)[:_MOST_WORDS] if told else f"The Admin API answered {status}."


def _strange(status: int) -> TollkeeperError:
    return UpstreamError(f"The Admin API answered {status}, and not as APISIX's does.")
