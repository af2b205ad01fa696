"""What `tollkeeper chat` talks with: the gate that models are asked through, and whose routes it is about."""

import asyncio
import getpass
import os
import time

import msgspec
from msgspec import Struct

from tollkeeper import config as configuration
from tollkeeper.assistant.model import ThroughGate
from tollkeeper.assistant.over_mcp import Toolbox
from tollkeeper.cli import serving
from tollkeeper.cli.options import Common
from tollkeeper.core.account import Patience
from tollkeeper.core.errors import CallerError
from tollkeeper.core.ids import RequestIds
from tollkeeper.core.ports import Outbound
from tollkeeper.mcp.tool import Tool
from tollkeeper.upstream.named import NamedOutbound

KEY = "TOLLKEEPER_KEY"
OPERATOR_KEY = "TOLLKEEPER_OPERATOR_KEY"
ADMIN_KEY = "TOLLKEEPER_ADMIN_KEY"
_KEPT_KEY = "chat.key"
_MOST = 65_536


class Places(Struct, frozen=True, kw_only=True):
    """What the command line says of it."""

    gate: str | None = None
    operator: str | None = None
    admin_url: str | None = None
    admin_key: str | None = None
    admin_gateway: str | None = None


class Reaching:
    """Finds what the command line leaves out in the home. Everything raises TollkeeperError."""

    def __init__(self, runner: asyncio.Runner, outbound: Outbound, options: Common, places: Places) -> None:
        self._run = runner.run
        self._outbound = outbound
        self._options = options
        self._places = places

    def tools(self) -> tuple[str, list[Tool]]:
        """What a model should know, and what it can do."""
        if self._places.admin_url is not None:
            return self._elsewhere(self._places.admin_url)
        address, key = self._operator()
        outbound = NamedOutbound(self._outbound, f"The operator port at {address}")
        return self._run(Toolbox(outbound, address, key, who()).open())

    def model(self, seconds: float) -> ThroughGate:
        """Whoever answers."""
        gate = self._places.gate or serving.read(self._options.home_folder()).gate
        secret, advice = self._key()
        return ThroughGate(NamedOutbound(self._outbound, f"The gate at {gate}"), gate, secret, seconds, advice)

    def _elsewhere(self, url: str) -> tuple[str, list[Tool]]:
        # Imported here: with it comes most of what a gate is made of.
        from tollkeeper.operator.abilities import INSTRUCTIONS, of_desk
        from tollkeeper.operator.admin_client import AdminApi
        from tollkeeper.operator.elsewhere import Elsewhere
        from tollkeeper.routes.administration import Actor
        from tollkeeper.upstream.nodes import Allowed

        key = self._places.admin_key or os.environ.get(ADMIN_KEY)
        if not key:
            raise CallerError(f"The Admin API's key is missing: set {ADMIN_KEY}.", status=401, code="invalid_api_key")
        routing, _ = configuration.routing_of(self._options.config)
        desk = Elsewhere(
            AdminApi(NamedOutbound(self._outbound, f"The Admin API at {url}"), url, key),
            self._outbound,
            self._places.admin_gateway,
            Allowed(routing.allow_nodes),
            RequestIds(time.time, os.urandom),
            time.time,
        )
        self._run(desk.fresh())  # a wrong address or key is said before a model is asked
        return INSTRUCTIONS, of_desk(desk, Actor(who(), "chat"))

    def _operator(self) -> tuple[str, str]:
        """The operator port's address and key."""
        key, places = os.environ.get(OPERATOR_KEY), self._places
        if places.operator is None and places.gate is not None:
            raise CallerError("Say where that gate's operator port is: --operator URL.", code="invalid_value")
        if places.operator is not None:
            address = places.operator
        else:
            home = self._options.home_folder()
            address = serving.read(home).operator
            key = key or serving.kept_secret(home / "operator.key")
        if not key:
            raise CallerError(f"The operator key is missing: set {OPERATOR_KEY}.", status=401, code="invalid_api_key")
        return address, key

    def _key(self) -> tuple[str, str]:
        """TOLLKEEPER_KEY's, or a key that is made once for the home; and what to say where it is not taken."""
        given = os.environ.get(KEY)
        if given:
            return given, f"It is in {KEY}."
        if self._places.gate is not None or self._places.operator is not None:
            raise CallerError(f"The gate's key is missing: set {KEY}.", status=401, code="invalid_api_key")
        path = self._options.home_folder() / _KEPT_KEY
        kept = serving.kept_secret(path)
        if kept is None:
            kept = self._run(self._made(*self._operator()))
            serving.keep_secret(path, kept)
        return kept, f"It is in {path}: without that file another is made."

    async def _made(self, operator: str, operator_key: str) -> str:
        headers = [(b"x-api-key", operator_key.encode("ascii", "replace")), (b"content-type", b"application/json")]
        url = operator.rstrip("/") + "/api/keys"
        answer = await self._outbound.send(b"POST", url, headers, b'{"name":"chat"}', Patience(first_byte=30.0))
        try:
            await answer.head()
            body, _ = await answer.read(_MOST)
        finally:
            answer.close()
        try:
            return str(msgspec.json.decode(body)["key"])
        except (ValueError, TypeError, LookupError):
            raise CallerError(f"No key could be made (status {answer.status}): set {KEY}.", status=401) from None


def who() -> str:
    """For the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
