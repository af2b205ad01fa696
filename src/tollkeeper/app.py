"""The composition root: a config and a home become one running gate. The only module that knows everyone."""

import asyncio
import gc
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random, random

from tollkeeper import config as configuration
from tollkeeper import plugins
from tollkeeper.apis.asked import Api
from tollkeeper.apis.importing import Modules
from tollkeeper.apis.means import Means
from tollkeeper.apis.outside import Access
from tollkeeper.apis.publishing import publish
from tollkeeper.config import Loaded
from tollkeeper.config.models import cached_models
from tollkeeper.config.pricing import Pricing
from tollkeeper.config.watching import FileWatch
from tollkeeper.core.account import Target
from tollkeeper.core.call import Call
from tollkeeper.core.errors import ConfigError, GateError, TollkeeperError
from tollkeeper.core.events import Event
from tollkeeper.core.ids import RequestIds
from tollkeeper.core.ports import Limiter, Policy, Tickets
from tollkeeper.core.refusals import refusal
from tollkeeper.flow.catalog import Catalog
from tollkeeper.flow.counting import Counting
from tollkeeper.flow.departures import Departures
from tollkeeper.flow.failover import Failover
from tollkeeper.flow.flow import Flow
from tollkeeper.flow.health import Health
from tollkeeper.flow.lines import Lines
from tollkeeper.flow.origins import Bonds
from tollkeeper.flow.pools import Pools
from tollkeeper.flow.rehearsal import Rehearsal
from tollkeeper.flow.routing import Routing
from tollkeeper.flow.sending import Sending
from tollkeeper.flow.token_counting import TokenCounting
from tollkeeper.metering.counter import TokenCounter
from tollkeeper.metering.prices import Prices
from tollkeeper.policies.budgets import Budgets
from tollkeeper.policies.cache import Cache
from tollkeeper.policies.dry_run import DryRun
from tollkeeper.policies.idempotency import Idempotency
from tollkeeper.policies.limits import Limits
from tollkeeper.policies.rights import Rights
from tollkeeper.routes.assembly import Routes
from tollkeeper.routes.proposals import Proposals
from tollkeeper.routes.registry import Registry
from tollkeeper.sharing.receipts import Receipts
from tollkeeper.sharing.runs import Runs
from tollkeeper.sockets.tickets import MemoryTickets
from tollkeeper.stores.memory.answers import MemoryAnswers
from tollkeeper.stores.memory.limits import MemoryLimiter
from tollkeeper.stores.shared import AnyBalances, AnyKeyStore, AnyLedger, Shared
from tollkeeper.stores.sqlite import clock, recovery
from tollkeeper.stores.sqlite.balances import SqliteBalances
from tollkeeper.stores.sqlite.damage import mend
from tollkeeper.stores.sqlite.keys import KeyRing, KeyStore, secret_file
from tollkeeper.stores.sqlite.ledger import SqliteLedger, cannot_be_written
from tollkeeper.stores.sqlite.origins import SqliteOrigins
from tollkeeper.stores.sqlite.refusals import Refusals
from tollkeeper.stores.sqlite.revisions import SqliteRevisions
from tollkeeper.stores.sqlite.typical import typical_output
from tollkeeper.stores.sqlite.upkeep import Upkeep
from tollkeeper.telemetry.announcements import Announcements
from tollkeeper.telemetry.log import Log
from tollkeeper.telemetry.metrics import Metrics
from tollkeeper.telemetry.observing import Observing
from tollkeeper.telemetry.watchdog import Watchdog
from tollkeeper.upstream.client import HttpClient
from tollkeeper.upstream.demo import DemoUpstream
from tollkeeper.upstream.nodes import Allowed, NodeClient
from tollkeeper.upstream.schemes import Guarded, Schemes
from tollkeeper.upstream.sockets import SocketClient

_WATCH = 0.3
"""Seconds between two looks at the store and the config file: both must take effect within one."""
_OBSERVE = 0.05
_LAST_WORDS = 5.0
"""Seconds that calls of published functions have to settle once they were cancelled."""


class App:
    """Everything behind the doors. Made in the event loop that will serve it."""

    def __init__(
        self,
        loaded: Loaded,
        home: Path,
        reload: Callable[[], Loaded],
        log: Log,
        environment: Mapping[str, str],
        *,
        develops: bool = False,
        watched: bool = True,
        share: "Callable[[App], Shared] | None" = None,
    ) -> None:
        self.loaded = loaded
        self.develops = develops
        """Whether published functions are read anew when their files change."""
        self.home = home
        self.log = log
        announcements = Announcements(log.say)
        self.damage = mend(home, time.time)
        """What was wrong with the store at the start, if anything."""
        self.key_store: AnyKeyStore = KeyStore(home, time.time, os.urandom)
        self.first_start = not (home / "operator.key").exists()
        self.operator_key = secret_file(home / "operator.key", lambda: "op-" + os.urandom(24).hex())
        self.viewer_key = secret_file(home / "viewer.key", lambda: "ov-" + os.urandom(24).hex())
        """Lets somebody look at routes and change nothing."""
        self.prices = Prices()
        self.pricing = Pricing(loaded, self.prices, time.time)
        self.recovered = recovery.recover(home, self.pricing.of_hold, int(time.time() * 1000))
        self.local = SqliteLedger(home, announcements.ledger)
        self.ledger: AnyLedger = self.local
        self.upkeep = Upkeep(
            home, self.local, loaded.config.ledger.keep_detail_days, time.time, time.monotonic, announcements.upkeep
        )
        self.refusals = Refusals(loaded.config.ledger, self.local.turn, time.monotonic)
        self.keys = KeyRing(self.key_store, time.time)
        self.new_id = RequestIds(time.time, os.urandom)
        self.departures = Departures(loaded.config.drain)
        self.counting = Counting(TokenCounter(), loaded.config.relay.uncounted)
        self.client = HttpClient(time.monotonic)
        self.nodes = NodeClient(time.monotonic, Allowed(loaded.config.routing.allow_nodes))
        self.revisions = SqliteRevisions(home, keep=loaded.config.routing.keep_revisions)
        self.socket_client = SocketClient()
        self.lines = Lines(self.socket_client)
        self.shared = share is not None
        """Whether its stores are others' too, and what is in its home ends with it."""
        self.tickets: Tickets = MemoryTickets(
            time.monotonic, os.urandom, lambda: self.loaded.config.websocket.ticket_seconds
        )
        limiter: Limiter = MemoryLimiter(time.monotonic)
        self.balances: AnyBalances = SqliteBalances(home, self.local)
        if share is not None:
            self.key_store, self.ledger, self.balances, limiter = share(self)
            self.keys = KeyRing(self.key_store, time.time)
        self.limits = Limits(loaded.limits, limiter, time.monotonic)
        self.budgets = Budgets(loaded.budgets, self.balances, self.prices, announcements.budget_spent)
        self.ledger.on_event = self.budgets.post
        self.budgets.keep(recovery.detached(home))
        self.watchdog = Watchdog(loaded.config.log.blocked, announcements.blocked, time.monotonic)
        self.metrics = Metrics(
            {
                "loop_lag_seconds": lambda: self.watchdog.lag,
                "draining": lambda: self.departures.draining,
                "uncounted_bytes": lambda: self.counting.waiting,
                "ledger_healthy": lambda: self.ledger.healthy,
                "store_damaged": lambda: self.damage is not None,
                "ledger_queue": lambda: self.ledger.queued,
                "ledger_log_bytes": lambda: self.ledger.log_bytes,
                "ledger_sum_lag_seconds": lambda: self.upkeep.lag,
                "limit_waiting": lambda: self.limits.waiting,
                "cache_answers": lambda: len(self.answers),
                "cache_bytes": lambda: self.answers.bytes,
                "idempotency_answers": lambda: len(self.remembered),
                "idempotency_bytes": lambda: self.remembered.bytes,
                "targets_ejected": lambda: self.target_health.targets_ejected,
                "targets_cooled": lambda: self.target_health.targets_cooled(time.monotonic()),
                "keys_ejected": lambda: self.target_health.keys_resting(time.monotonic()),
            },
            {
                "retries": (("gen_ai_provider_name",), lambda: self.failover.retried),
                "ejections": (("gen_ai_provider_name",), lambda: self.target_health.ejected),
                "limit_refusals": (("scope", "dimension"), lambda: self.limits.refused),
                "budget_refusals": (("scope", "code"), lambda: self.budgets.refused),
                "budget_warnings": (("scope",), lambda: self.budgets.warned),
                "budget_overdrafts": (("scope",), lambda: self.budgets.overdrawn),
                "refusals": (("code",), lambda: self.refused),
                "loop_blocks": ((), lambda: {(): self.watchdog.blocks}),
                "refusals_unwritten": ((), lambda: {(): self.refusals.unwritten}),
            },
            {"ledger_sync_seconds": self.ledger.sync_seconds, "ledger_batch_rows": self.ledger.batch_rows},
        )
        loop = asyncio.get_running_loop()
        observers = (self.metrics, log) if watched else ()
        self.observing = Observing(observers, log.flush, lambda flush: loop.call_later(_OBSERVE, flush))
        guarded = Guarded(self.nodes)
        outbound = Schemes(
            {
                "http": self.client,
                "https": self.client,
                "demo": DemoUpstream(time.monotonic),
                "node+http": guarded,
                "node+https": guarded,
            }
        )
        self.target_health = Health(loaded.config.health, random, announcements.target)
        self.sending = Sending(
            outbound=outbound,
            ledger=self.ledger,
            budgets=self.budgets,
            observe=self.observing,
            price_of=self.pricing.of_answer,
            counting=self.counting,
            departures=self.departures,
            options=loaded.config.relay,
            now=time.time,
            monotonic=time.monotonic,
        )
        receipts = Receipts(self.ledger, self.observing, self._ledger_refuses, time.time, time.monotonic)
        cache, idempotency = loaded.config.cache, loaded.config.idempotency
        self.answers = MemoryAnswers(time.monotonic, cache.max_bytes)
        self.remembered = MemoryAnswers(time.monotonic, idempotency.max_bytes, idempotency.max_answers)
        self.runs = Runs(cache.max_bytes)
        self.idempotent_runs = Runs(idempotency.max_bytes)
        self.cache = Cache(self.answers, self.runs, receipts, self._targets_of, cached_models(loaded.config), cache)
        self.idempotency = Idempotency(self.remembered, self.idempotent_runs, receipts, idempotency)
        policies: list[Policy] = [DryRun(), Rights(), self.limits, self.idempotency, self.cache]
        pools = Pools(self.target_health, self.pricing.of_target)
        self.failover = Failover(
            self.sending,
            self.target_health,
            loaded.config.retry,
            price=pools.priced,
            draw=random,
            now=time.time,
            monotonic=time.monotonic,
        )
        routing = Routing(loaded.models, loaded.accounts, loaded.balancing)
        rehearsal = Rehearsal(
            self.failover,
            self.budgets,
            self.prices,
            self.counting,
            partial(typical_output, home),
            self._ledger_refuses,
            time.time,
        )
        self.origins = SqliteOrigins(home, self.local, time.time)
        self.bonds = Bonds(self.origins, loaded.config.ownership)
        self.flow = Flow(
            routing, policies, pools, self.failover, rehearsal, self.bonds, TokenCounting(self.counting), self._refused
        )
        self.means = Means(
            self.flow.handle,
            self.log.say,
            time.monotonic,
            Access(
                accounts=lambda: self.loaded.outside,
                outbound=self.nodes,
                ledger=self.ledger,
                budgets=self.budgets,
                attempt=self.sending.attempt,
                draw=random,
            ),
        )
        self.modules = Modules(loaded.folder)
        self.apis = self._published(loaded)
        """What is published, by name."""
        self.list_models = Catalog(lambda: self.flow.routing, outbound, time.monotonic)
        self.routes = self._routes(loaded, environment)
        self.proposals = Proposals(self.routes.administration, self.new_id, time.time, loaded.config.routing.proposals)
        self.gate_url: str | None = None
        """Where the gate's port is, once it is open: http://127.0.0.1:9080."""
        self.stopping = False
        self.refused: Counter[tuple[str, ...]] = Counter()
        """Calls that were turned away, by the error's code."""
        self.on_start: list[Callable[[], None]] = []
        """Run when it starts, and `on_close` before anything else is closed: what the doors have under way themselves."""
        self.on_close: list[Callable[[], Awaitable[None]]] = []
        self.on_reload: list[Callable[[], None]] = []
        """Run after another config was taken: by the doors, for what they keep of it."""
        self._reload = reload
        self._config_file = FileWatch(lambda: self.loaded.files)
        self._watcher: asyncio.Task[None] | None = None
        self._clock = clock.ClockWatch(time.time, time.monotonic)
        set_back = clock.at_start(home, int(time.time() * 1000))
        self._clock_steps = [] if set_back is None else [set_back]

    def start(self) -> None:
        """Begins to watch the store and the config file for changes, and reads the prices in."""
        if any(account.provider.prices for account in self.loaded.accounts.values()):
            reading = asyncio.get_running_loop().run_in_executor(None, self.prices.read_in)
            reading.add_done_callback(lambda _: gc.freeze())  # they stay: no collection need look at them
        self._watcher = asyncio.get_running_loop().create_task(self._watch())
        self.upkeep.start()
        for begin in self.on_start:
            begin()
        if self.damage is not None:
            self.log.say("store_damaged", tables=",".join(self.damage.tables), file=self.damage.file)
        if self.loaded.config.log.blocked:
            self.watchdog.start()

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
        self._config_file.taken()
        try:
            loaded = self._reload()
            if self.loaded.text.strip() and not loaded.text.strip():  # so it is for a moment while some editors save
                raise ConfigError(
                    [f"{self.loaded.path}: it is empty or gone, and so changes nothing before a new start"]
                )
            apis = self._published(loaded)
            self._configure_routes(loaded)
        except ConfigError as error:
            for problem in error.problems:
                self.log.say("config_refused", problem=problem)
            return False
        self.loaded = self.pricing.loaded = loaded
        self.apis = apis
        self.flow.routing = Routing(loaded.models, loaded.accounts, loaded.balancing)
        self.target_health.keep_only(loaded.accounts)  # before the next call, too: operators look at it
        self.sending.options = loaded.config.relay
        self.counting.most = loaded.config.relay.uncounted
        self.failover.options = loaded.config.retry
        self.bonds.configure(loaded.config.ownership)
        self.target_health.options = loaded.config.health
        self.departures.bounds = loaded.config.drain
        self.refusals.bounds = loaded.config.ledger
        self.upkeep.keep_days = loaded.config.ledger.keep_detail_days
        self.limits.rules = loaded.limits
        self.budgets.rules = loaded.budgets
        cache, idempotency = loaded.config.cache, loaded.config.idempotency
        self.cache.configure(cached_models(loaded.config), cache)
        self.idempotency.options = idempotency
        self.answers.bound(cache.max_bytes)
        self.remembered.bound(idempotency.max_bytes, idempotency.max_answers)
        self.runs.room.most, self.idempotent_runs.room.most = cache.max_bytes, idempotency.max_bytes
        for callback in self.on_reload:
            callback()
        self.log.say("config_loaded", models=len(loaded.models), providers=",".join(loaded.accounts))
        return True

    def _published(self, loaded: Loaded) -> dict[str, Api]:
        """Raises ConfigError."""
        forgotten = self.modules.forget() if self.develops else None
        try:
            return publish(loaded.config.apis, self.modules, loaded.where, self.means)
        except ConfigError:
            if forgotten is not None:
                self.modules.restore(forgotten)
            raise

    def _routes(self, loaded: Loaded, environment: Mapping[str, str]) -> Routes:
        """Raises ConfigError."""
        options = loaded.config.routing
        folder = None if options.plugins is None else loaded.folder / options.plugins
        routes = Routes(
            store=self.revisions,
            registry=Registry(plugins, folder, options),
            hops=self.nodes,
            outbound=self.nodes,
            resolve=self.nodes.resolve,
            allowed=lambda address: self.nodes.allowed(address),
            keys=self.keys,
            handle=self.flow.handle,
            parameters=options.path_parameters,
            most_proxies=options.most_proxies,
            room=options,
            environment=environment,
            home=self.home,
            random=Random(),
            now=time.time,
            monotonic=time.monotonic,
            say=self.log.say,
        )
        routes.configure(loaded.resources, loaded.where)
        return routes

    def _configure_routes(self, loaded: Loaded) -> None:
        """Raises ConfigError; everything then is as before."""
        before, self.nodes.allowed = self.nodes.allowed, Allowed(loaded.config.routing.allow_nodes)
        try:
            self.routes.configure(loaded.resources, loaded.where)
        except ConfigError:
            self.nodes.allowed = before
            raise
        self.revisions.keep = loaded.config.routing.keep_revisions
        self.proposals.bounds = loaded.config.routing.proposals

    async def close(self) -> bool:
        """Ends what goes on behind the doors and writes the ledger out. False where something could not be written."""
        if self._watcher is not None:
            self._watcher.cancel()
        self.watchdog.stop()
        for task in self.means.tasks:
            task.cancel()
        if self.means.tasks:
            await asyncio.wait(self.means.tasks, timeout=_LAST_WORDS)
        for end in self.on_close:
            await end()
        await self.idempotent_runs.finish()
        await self.runs.finish()
        await self.counting.finish()
        await self.routes.close()
        await self.nodes.close()
        written = self.ledger is self.local or await self.ledger.close()
        await self.client.close()
        await self.socket_client.close()
        await self.refusals.close()
        await self.upkeep.close()
        written = await self.local.close() and written
        self.balances.close()
        self.origins.close()
        self.revisions.close()
        self.key_store.close()
        self.observing.flush()
        return written

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH)
            try:
                self.keys.poll()
                self.routes.administration.poll()
                await self._look_at_the_clock()
                for hold in self.budgets.expired(int(time.time() * 1000)):
                    self.record(recovery.recovered(hold, self.pricing.of_hold))
                if self._config_file.changed() or (self.develops and self.modules.changed()):
                    self.reload()
            except Exception as error:  # whatever it is, a key that is revoked later must still be noticed
                self.log.say("watch_trouble", error=type(error).__name__)

    async def _look_at_the_clock(self) -> None:
        step = self._clock.look()
        if step is not None:
            self.log.say("clock_set", by_ms=step[1] - step[0])
            self._clock_steps.append(step)
        while self._clock_steps:
            await self.local.turn(clock.put(self._clock_steps[0]))
            del self._clock_steps[0]

    def _ledger_refuses(self) -> GateError | None:
        return None if self.ledger.healthy else cannot_be_written()

    def _targets_of(self, call: Call) -> Sequence[Target]:
        if call.destination is not None:
            return call.destination.targets
        routing = self.flow.routing
        return (
            (routing.unnamed(call.provider, call.dialect.name),) if call.model is None else routing.targets(call.model)
        )

    def _refused(self, call: Call, error: TollkeeperError) -> None:
        if not call.dry:
            self.refused[(error.code or error.type,)] += 1
            self.refusals.add(refusal(call, error, int(time.time() * 1000)))

    def record(self, event: Event) -> None:
        """An event of work that did not come by the flow. A second one of the same attempt is ignored."""
        self.ledger.settle(event)
        self.observing(event)


def open_app(
    path: Path | None,
    home: Path | None,
    environment: Mapping[str, str],
    *,
    demo: bool = False,
    quiet: bool = False,
    develops: bool = False,
    watched: bool = True,
    share: Callable[[App], Shared] | None = None,
) -> App:
    """Loads the config and makes the app; a quiet one logs nothing, one that develops reads changed functions anew, and
    one that is not watched has neither a log nor metrics of calls: nobody can ask for them.

    Raises ConfigError and GateError.
    """
    loop = asyncio.get_running_loop()

    def reload() -> Loaded:
        return configuration.load(path, environment, demo=demo)

    loaded = reload()
    log = Log("off" if quiet else loaded.config.log.format, time.time, lambda flush: loop.call_later(_OBSERVE, flush))
    at = home or Path(loaded.config.server.home).expanduser()
    return App(loaded, at, reload, log, environment, develops=develops, watched=watched, share=share)
