"""Serves an ASGI app on one address with uvicorn, without its signal handlers: the process stops both ports together."""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn

from tollkeeper.core.errors import GateError
from tollkeeper.core.limits import DoorLimits, SocketLimits
from tollkeeper.server.protocol import DoorProtocol
from tollkeeper.server.websocket import WebSocketConnection

BACKLOG = 2048
_MANY_FILES = 1_048_576
_FEW_FILES = 64


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 finds a free one. Raises GateError with the reason."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = error.strerror if isinstance(error, OSError) else "a port is a number from 0 to 65535"
        raise GateError(f"Cannot listen on {host}:{port}: {reason}.") from None
    listening.setblocking(False)
    return listening


def allow_many_files() -> None:
    """Raises this process's limit of open files as far as it may itself: many systems start it at 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, _MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _most_connections(limits: DoorLimits) -> int:
    """A quarter of the files that may be open is kept for connections to providers, the ledger and the rest."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits.connections
    return max(1, min(limits.connections, soft - max(_FEW_FILES, soft // 4)))


class Listener(uvicorn.Server):
    """One port. `serve` returns after `should_exit` was set and calls have ended."""

    def __init__(
        self,
        app: Any,
        listening: socket.socket,
        limits: DoorLimits,
        shutdown_seconds: float,
        new_id: Callable[[], str],
        sockets: SocketLimits | None = None,
    ) -> None:
        own = {
            "limits": limits,
            "sockets": sockets or SocketLimits(),
            "most": _most_connections(limits),
            "new_id": staticmethod(new_id),
        }
        protocol = type("Protocol", (DoorProtocol,), own)
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_graceful_shutdown=max(1, round(shutdown_seconds)),
            backlog=BACKLOG,
        )
        super().__init__(config)
        # What uvicorn would say of starting and stopping is said by us, in our log's format.
        logging.getLogger("uvicorn").disabled = logging.getLogger("uvicorn.error").disabled = True
        self._listening = listening

    @property
    def port(self) -> int:
        """The port in fact listened on."""
        return int(self._listening.getsockname()[1])

    async def run_until_told(self) -> None:
        """Serves."""
        await self.serve(sockets=[self._listening])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in cast("list[DoorProtocol | WebSocketConnection]", list(self.server_state.connections)):
                connection.check(now)
        return await super().on_tick(counter)
