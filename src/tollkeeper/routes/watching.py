"""How nodes fare: active checks that ask them, passive ones that look at what requests meet."""

import asyncio
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.hops import Hop, Hops, Tls
from tollkeeper.routes.headers import written
from tollkeeper.routes.nodes import Node
from tollkeeper.routes.upstreams import Upstream

_PASSIVE_WELL = [*range(200, 209), 226, *range(300, 309)]
_PASSIVE_ILL = [429, 500, 503]
_ACTIVE_ILL = [429, 404, 500, 501, 502, 503, 504, 505]


class Checks:
    """Checks upstreams from their first request on, for as long as somebody uses them."""

    def __init__(self, hops: Hops, say: Callable[..., None]) -> None:
        self._hops = hops
        self._say = say
        self._tasks: weakref.WeakKeyDictionary[Upstream, asyncio.Task[None]] = weakref.WeakKeyDictionary()
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, upstream: Upstream) -> None:
        """Starts its active checks if they are not under way."""
        if upstream in self._tasks or not upstream.checks or "active" not in upstream.checks:
            return
        task = asyncio.get_running_loop().create_task(self._check(weakref.ref(upstream), upstream.checks["active"]))
        self._tasks[upstream] = task
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def watched(self) -> list[Upstream]:
        """Upstreams with active checks under way."""
        return list(self._tasks)

    async def close(self) -> None:
        """Ends all checks."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def answered(self, upstream: Upstream, node: Node, status: int) -> None:
        """A request was answered: passive checks count it."""
        passive = (upstream.checks or {}).get("passive")
        if passive is None:
            return
        well, ill = passive.get("healthy", {}), passive.get("unhealthy", {})
        if status in well.get("http_statuses", _PASSIVE_WELL):
            self._success(upstream, node, well.get("successes", 5))
        elif status in ill.get("http_statuses", _PASSIVE_ILL):
            self._failure(upstream, node, "http", ill.get("http_failures", 5))

    def met(self, upstream: Upstream, node: Node, status: int | None) -> None:
        """What a call came to that a plugin made: a status as HTTP has it, 504 where it took too long, None for nobody."""
        ill = (upstream.checks or {}).get("passive", {}).get("unhealthy")
        if status is not None and status != 504:
            self.answered(upstream, node, status)
        elif ill is None:
            return
        elif status is None:
            self._failure(upstream, node, "tcp", ill.get("tcp_failures", 2))
        else:
            self._failure(upstream, node, "timeout", ill.get("timeouts", 7))

    def failed(self, upstream: Upstream, node: Node, error: TollkeeperError) -> None:
        """A request was not answered."""
        ill = (upstream.checks or {}).get("passive", {}).get("unhealthy")
        if ill is None:
            return
        if error.status == 504:
            self._failure(upstream, node, "timeout", ill.get("timeouts", 7))
        else:
            self._failure(upstream, node, "tcp", ill.get("tcp_failures", 2))

    async def _check(self, of: "weakref.ref[Upstream]", active: Mapping[str, Any]) -> None:
        well, ill = active.get("healthy", {}), active.get("unhealthy", {})
        loop = asyncio.get_running_loop()
        due = {True: 0.0, False: 0.0}
        every = {True: float(well.get("interval", 1)), False: float(ill.get("interval", 1))}
        most = asyncio.Semaphore(max(1, int(active.get("concurrency", 10))))
        while (upstream := of()) is not None:
            now = loop.time()
            states = [state for state in (True, False) if due[state] <= now]
            for state in states:
                due[state] = now + every[state]
            nodes = [node for node in upstream.nodes if node.healthy in states]
            await asyncio.gather(*(self._ask(upstream, node, active, most) for node in nodes))
            del upstream, nodes  # else nobody but this check would keep it
            await asyncio.sleep(max(0.02, min(due.values()) - loop.time()))

    async def _ask(self, upstream: Upstream, node: Node, active: Mapping[str, Any], most: asyncio.Semaphore) -> None:
        well, ill = active.get("healthy", {}), active.get("unhealthy", {})
        async with most:
            try:
                status = await self._status(node, active)
            except TollkeeperError as error:
                kind, field, limit = ("timeout", "timeouts", 3) if error.status == 504 else ("tcp", "tcp_failures", 2)
                self._failure(upstream, node, kind, ill.get(field, limit))
                return
        if status is None or status in well.get("http_statuses", [200, 302]):
            self._success(upstream, node, well.get("successes", 2))
        elif status in ill.get("http_statuses", _ACTIVE_ILL):
            self._failure(upstream, node, "http", ill.get("http_failures", 5))

    async def _status(self, node: Node, active: Mapping[str, Any]) -> int | None:
        """What the node answers; None where only a connection was wanted."""
        seconds = float(active.get("timeout", 1))
        kind = active.get("type", "http")
        name = active.get("host", node.host)
        tls = Tls(name=name, verify=active.get("https_verify_certificate", True)) if kind == "https" else None
        hop = Hop(node.host, active.get("port", node.port), tls)
        if kind == "tcp":
            await self._hops.probe(hop, seconds)
            return None
        headers = [(b"user-agent", b"tollkeeper-health-check")]
        for line in active.get("req_headers", ()):
            field, _, value = line.partition(":")
            headers.append((field.lower().encode(), written(value.strip())))
        sent = await self._hops.send_to(
            hop,
            name.encode("latin-1"),
            active.get("http_method", "GET").encode("ascii"),
            active.get("http_path", "/").encode("ascii", "replace"),
            headers,
            active.get("http_req_body", "").encode(),
            Patience(connect=seconds, first_byte=seconds, idle=seconds, total=seconds),
        )
        try:
            await sent.head()
            return sent.status
        finally:
            sent.close()

    def _success(self, upstream: Upstream, node: Node, enough: int) -> None:
        node.failures = {}
        if node.healthy or not enough:
            node.successes = 0
            return
        node.successes += 1
        if node.successes >= enough:
            node.healthy, node.successes = True, 0
            self._say("node_healthy", upstream=upstream.name, node=node.name)

    def _failure(self, upstream: Upstream, node: Node, kind: str, enough: int) -> None:
        node.successes = 0
        if not node.healthy or not enough:
            return
        node.failures[kind] = node.failures.get(kind, 0) + 1
        if node.failures[kind] >= enough:
            node.healthy, node.failures = False, {}
            self._say("node_unhealthy", upstream=upstream.name, node=node.name, failures=kind)
