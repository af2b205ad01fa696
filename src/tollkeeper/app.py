"""The composition root: a config and a home become one running gate. The only module that knows everyone."""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tollkeeper import config as configuration
from tollkeeper.config import Loaded
from tollkeeper.core.account import Target
from tollkeeper.core.errors import ConfigError
from tollkeeper.core.events import Event, Hold
from tollkeeper.core.ids import RequestIds
from tollkeeper.core.usage import Usage
from tollkeeper.flow.catalog import Catalog
from tollkeeper.flow.counting import Counting
from tollkeeper.flow.departures import Departures
from tollkeeper.flow.flow import Flow
from tollkeeper.flow.routing import Routing
from tollkeeper.flow.sending import Sending
from tollkeeper.metering.counter import TokenCounter
from tollkeeper.metering.prices import Prices
from tollkeeper.policies.limits import Limits
from tollkeeper.policies.rights import Rights
from tollkeeper.stores.memory.limits import MemoryLimiter
from tollkeeper.stores.sqlite import ledger as sqlite_ledger
from tollkeeper.stores.sqlite.keys import KeyRing, KeyStore, secret_file
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.telemetry.log import Log
from tollkeeper.telemetry.metrics import Metrics
from tollkeeper.upstream.client import HttpClient
from tollkeeper.upstream.demo import DemoUpstream
from tollkeeper.upstream.schemes import Schemes

_WATCH = 0.3
"""Seconds between two looks at the store and the config file: both must take effect within one."""
_OBSERVE = 0.05


class App:
    """Everything behind the doors. Made in the event loop that will serve it."""

    def __init__(self, loaded: Loaded, home: Path, reload: Callable[[], Loaded], log: Log) -> None:
        self.loaded = loaded
        self.home = home
        self.log = log
        self.key_store = KeyStore(home, time.time, os.urandom)
        self.first_start = not (home / "operator.key").exists()
        self.operator_key = secret_file(home / "operator.key", lambda: "op-" + os.urandom(24).hex())
        self.prices = Prices()
        self.recovered = sqlite_ledger.recover(home, self._price_of_hold)
        self.ledger = SqliteLedger(home, self._ledger_trouble)
        self.keys = KeyRing(self.key_store, time.time)
        self.new_id = RequestIds(time.time, os.urandom)
        self.departures = Departures(loaded.config.drain)
        self.counting = Counting(TokenCounter())
        self.client = HttpClient(time.monotonic)
        self.limits = Limits(loaded.limits, MemoryLimiter(time.monotonic))
        self.metrics = Metrics(
            {
                "draining": lambda: self.departures.draining,
                "ledger_healthy": lambda: self.ledger.healthy,
                "limit_waiting": lambda: self.limits.waiting,
            },
            {"limit_refusals": (("scope", "dimension"), lambda: self.limits.refused)},
        )
        outbound = Schemes({"http": self.client, "https": self.client, "demo": DemoUpstream(time.monotonic)})
        sending = Sending(
            outbound=outbound,
            ledger=self.ledger,
            observe=self._observe,
            price_of=self.prices,
            counting=self.counting,
            departures=self.departures,
            options=loaded.config.relay,
            now=time.time,
            monotonic=time.monotonic,
        )
        self.flow = Flow(Routing(loaded.models, loaded.accounts), [Rights(), self.limits], sending)
        self.list_models = Catalog(lambda: self.flow.routing, outbound, time.monotonic)
        self.stopping = False
        self._unseen: list[Event] = []
        self._reload = reload
        self._config_seen = self._config_mark()
        self._watcher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to watch the store and the config file for changes, and reads the prices in."""
        if any(account.provider.prices for account in self.loaded.accounts.values()):
            reading = asyncio.get_running_loop().run_in_executor(None, self.prices.read_in)
            reading.add_done_callback(lambda _: gc.freeze())  # they stay: no collection need look at them
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    def health(self) -> str | None:
        """None when calls can be taken, else why not."""
        if self.stopping:
            return "shutting down"
        return None if self.ledger.healthy else "the ledger cannot be written"

    def stop(self) -> None:
        """No call is to be taken any more; those that wait for their turn are told so."""
        self.stopping = True
        self.limits.close()

    def reload(self) -> bool:
        """Reads the config again and swaps it whole; a bad one changes nothing and is logged."""
        self._config_seen = self._config_mark()
        try:
            loaded = self._reload()
        except ConfigError as error:
            for problem in error.problems:
                self.log.say("config_refused", problem=problem)
            return False
        self.loaded = loaded
        self.flow.routing = Routing(loaded.models, loaded.accounts)
        self.flow.sending.options = loaded.config.relay
        self.departures.bounds = loaded.config.drain
        self.limits.rules = loaded.limits
        self.log.say("config_loaded", models=len(loaded.models), providers=",".join(loaded.accounts))
        return True

    async def close(self) -> bool:
        """Ends what goes on behind the doors and writes the ledger out. False where something could not be written."""
        if self._watcher is not None:
            self._watcher.cancel()
        await self.counting.finish()
        await self.client.close()
        written = await self.ledger.close()
        self.key_store.close()
        self.observe()
        return written

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH)
            try:
                self.keys.poll()
                if self._config_mark() != self._config_seen:
                    self.reload()
            except Exception as error:  # whatever it is, a key that is revoked later must still be noticed
                self.log.say("watch_trouble", error=type(error).__name__)

    def _config_mark(self) -> tuple[int, int, int] | None:
        path = self.loaded.path
        try:
            stat = path.stat() if path is not None else None
        except OSError:
            return None
        return None if stat is None else (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    def _observe(self, event: Event) -> None:
        self._unseen.append(event)
        if len(self._unseen) == 1:
            asyncio.get_running_loop().call_later(_OBSERVE, self.observe)

    def observe(self) -> None:
        """Hands the events of the last moment to metrics and log, together: caches stay warm, calls do not wait."""
        events, self._unseen = self._unseen, []
        for event in events:
            self.metrics(event)
            self.log(event)
        self.log.flush()

    def _ledger_trouble(self, trouble: str) -> None:
        self.log.say("ledger_trouble" if trouble else "ledger_recovered", reason=trouble or "written again")

    def _price_of_hold(self, hold: Hold, usage: Usage) -> tuple[int | None, str | None]:
        account = self.loaded.accounts.get(hold.provider)
        targets = self.loaded.models.get(hold.model_asked or "", ())
        price = next((t.price for t in targets if t.account is account and t.model == hold.model), None)
        if price is None and account is not None:
            price = self.prices(Target(account, hold.model), None, None, hold.started_at)
        return (None, None) if price is None else (price.cost(usage), price.version)


def open_app(path: Path | None, home: Path | None, environment: Mapping[str, str], *, demo: bool = False) -> App:
    """Loads the config and makes the app. Raises ConfigError and GateError."""
    loop = asyncio.get_running_loop()

    def reload() -> Loaded:
        return configuration.load(path, environment, demo=demo)

    loaded = reload()
    log = Log(loaded.config.log.format, time.time, lambda flush: void(loop.call_later(_OBSERVE, flush)))
    return App(loaded, home or Path(loaded.config.server.home).expanduser(), reload, log)


def void(_: object) -> None:
    """Takes a result that nobody needs."""
