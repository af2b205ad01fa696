"""How each target and each account fares: what failed lately, what must rest, how quickly it answers.

Rule 1: told of the end of every attempt, it never looks for itself: a probe is some caller's call, one at a time.
Rule 2: a refusal for asking too much (429) or with a wrong key (401, 402) is no failure: the target is well, we must wait.
Rule 3: times are monotonic seconds and are passed in; so is randomness.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tollkeeper.core.account import Account
from tollkeeper.core.events import Event
from tollkeeper.core.limits import Positive, Seconds
from tollkeeper.flow.retries import RetryBudget

Change = Literal["target_ejected", "target_probed", "target_back", "target_cooled", "key_ejected"]
Tell = Callable[[Change, str, dict[str, object]], None]
"""(what, the target's or account's name, details): told of each change."""

_NOT_ITS_HEALTH = frozenset((401, 402, 403, 429))
STALE = frozenset(("upstream_closed", "upstream_reset"))
"""How a kept connection ends that the provider had closed before the request came: no fault of either side."""
_UP, _DOWN = 0.5, 0.1
_HALVED = 5.0
"""Seconds without a call after which a target's latency counts half: what nobody asks may have become quick again."""
_IDLE = 1.0
_MOST_STATES = 2000


class HealthOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[health]"""

    failures: Positive = 5
    """Failures in a row after which a target is ejected."""
    eject: Seconds = 30.0
    """Seconds of its first ejection; the n-th in a row takes n times as long, and up to a tenth more."""
    most_eject: Seconds = 300.0
    """The longest ejection; also how long a target must be well for its next one to count as the first."""
    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """Of a model's targets that may be ejected at one time, rounded up; never the last one."""
    key_rest: Seconds = 600.0
    """Seconds that an account is not asked after it refused our key or our credit."""
    cool: Seconds = 5.0
    """Seconds that a target is not asked after a 429 that does not say how long."""
    most_cool: Seconds = 300.0
    """What a provider may ask for at most."""
    slow_start: Annotated[float, Meta(ge=0)] = 30.0
    """Seconds in which a target that is back comes to its full share."""


class AccountHealth:
    """What all targets of one account share: its key and its retry budget."""

    __slots__ = ("account", "budget", "key_rests_until")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.key_rests_until = 0.0
        self.budget = RetryBudget()


class TargetHealth:
    """One account with one of its models."""

    __slots__ = (
        "_health",
        "account",
        "back_at",
        "cooled_until",
        "ejected_until",
        "ejections",
        "failures",
        "in_flight",
        "latency",
        "latency_at",
        "name",
        "probing",
    )

    def __init__(self, health: "Health", account: AccountHealth, name: str) -> None:
        self._health = health
        self.account = account
        self.name = name
        self.in_flight = 0
        self.failures = 0
        """In a row."""
        self.ejected_until = 0.0
        """0 while it is not ejected; past while it waits for its probe to succeed."""
        self.ejections = 0
        """In a row."""
        self.probing = False
        self.back_at = float("-inf")
        self.cooled_until = 0.0
        self.latency: list[float | None] = [None, None]
        """Seconds to the first byte, smoothed: of whole answers, of streams."""
        self.latency_at = 0.0

    def begin(self, now: float) -> bool:
        """An attempt is made. Returns whether it is the probe that decides over the target's return."""
        if not self.in_flight and now - self.latency_at > _IDLE:
            self.latency = [self.latency_of(False, now), self.latency_of(True, now)]
            self.latency_at = now
        self.in_flight += 1
        if self.ejected_until and now >= self.ejected_until and not self.probing:
            self.probing = True
            self._health.tell("target_probed", self.name, {})
            return True
        return False

    def unsent(self, probe: bool) -> None:
        """The attempt was not sent after all."""
        self.in_flight -= 1
        if probe:
            self.probing = False

    def ended(self, event: Event, now: float, probe: bool, excused: bool = False) -> None:
        """An attempt has ended so; `excused`: its failure is not the target's."""
        self.in_flight -= 1
        if probe:
            self.probing = False
        outcome = event.outcome
        if outcome == "ok" or (outcome == "error" and event.status >= 400):
            if (self.failures or self.ejected_until) and event.status not in _NOT_ITS_HEALTH:
                self._well(now)
        elif outcome in ("upstream_error", "upstream_cut") and event.status not in _NOT_ITS_HEALTH and not excused:
            self._failed(now, probe)
        first = event.first_byte_ms
        if first is not None:
            if event.status < 400:
                self._heard_after(first / 1000, event.streamed, now)
        elif outcome in ("upstream_error", "client_left"):
            waited = event.duration_ms / 1000  # for nothing: it would have taken longer still
            known = self.latency[event.streamed]
            if known is None or waited > known:
                self._heard_after(waited, event.streamed, now)

    def stumbled(self, now: float, probe: bool) -> None:
        """Its stream began with an error of its own: HTTP calls that a success, we do not."""
        self._failed(now, probe)

    def cool(self, seconds: float | None, now: float) -> None:
        """It asked to be left alone; None: it did not say how long."""
        options = self._health.options
        seconds = options.cool if seconds is None else min(seconds, options.most_cool)
        if now + seconds > self.cooled_until:
            if self.cooled_until <= now:
                self._health.tell("target_cooled", self.name, {"seconds": round(seconds, 1)})
            self.cooled_until = now + seconds

    def rest_key(self, now: float) -> None:
        """The account refused our key, or our credit with it."""
        account = self.account
        if account.key_rests_until <= now:
            seconds = self._health.options.key_rest
            account.key_rests_until = now + seconds
            self._health.tell("key_ejected", account.account.name, {"seconds": round(seconds, 1)})

    def trust(self, now: float) -> float:
        """Its share of what it would get, in (0, 1]: less than 1 for a while after it came back."""
        slow_start = self._health.options.slow_start
        if now - self.back_at >= slow_start:
            return 1.0
        return max(0.1, (now - self.back_at) / slow_start)

    def latency_of(self, streamed: bool, now: float) -> float | None:
        """Seconds to the first byte as far as is known."""
        known = self.latency[streamed]
        if known is None or self.in_flight:
            return known
        return float(known * 0.5 ** ((now - self.latency_at) / _HALVED))

    def _heard_after(self, seconds: float, streamed: bool, now: float) -> None:
        known = self.latency[streamed]
        self.latency_at = now
        if known is None:
            self.latency[streamed] = seconds
        else:
            self.latency[streamed] = known + (seconds - known) * (_UP if seconds > known else _DOWN)

    def _well(self, now: float) -> None:
        self.failures = 0
        if self.ejected_until:
            self.ejected_until = 0.0
            self.back_at = now
            self.latency = [None, None]  # what was measured while it was ill says nothing now
            self._health.tell("target_back", self.name, {})

    def _failed(self, now: float, probe: bool) -> None:
        self.failures += 1
        options = self._health.options
        if probe if self.ejected_until else self.failures >= options.failures:
            if not self.ejected_until and now - self.back_at > options.most_eject:
                self.ejections = 0
            self.ejections += 1
            seconds = min(options.eject * self.ejections, options.most_eject) * (1 + 0.1 * self._health.draw())
            self.ejected_until = now + seconds
            self._health.ejected[self.account.account.name,] += 1
            self._health.tell("target_ejected", self.name, {"failures": self.failures, "seconds": round(seconds, 1)})


class Health:
    """Every target's and account's state, kept as long as the account stays what it is."""

    def __init__(self, options: HealthOptions, draw: Callable[[], float], tell: Tell) -> None:
        self.options = options
        self.draw = draw
        """A random number in [0, 1)."""
        self.tell = tell
        self.ejected: Counter[tuple[str, ...]] = Counter()
        """Ejections so far, by account."""
        self._accounts: dict[str, AccountHealth] = {}
        self._targets: dict[tuple[str, str | None], TargetHealth] = {}

    def account(self, account: Account) -> AccountHealth:
        """The state of `account`; a new one where its key or address has changed."""
        known = self._accounts.get(account.name)
        if known is None or not _same(known.account, account):
            known = self._accounts[account.name] = AccountHealth(account)
        return known

    def target(self, account: Account, model: str | None, name: str) -> TargetHealth:
        """The state of one target, made at need. Those that nobody uses and that had no trouble are forgotten in time."""
        of = self.account(account)
        state = self._targets.get((account.name, model))
        if state is None or state.account is not of:
            if len(self._targets) >= _MOST_STATES:
                troubled = {key: kept for key, kept in self._targets.items() if kept.in_flight or kept.ejected_until}
                self._targets = troubled if len(troubled) < _MOST_STATES else {}
            state = self._targets[account.name, model] = TargetHealth(self, of, name)
        return state

    def keep_only(self, accounts: Mapping[str, Account]) -> None:
        """After a change of the config: what belongs to an account that is gone or another one now is forgotten."""
        for name, known in list(self._accounts.items()):
            now = accounts.get(name)
            if now is None or not _same(known.account, now):
                del self._accounts[name]
        self._targets = {
            key: state for key, state in self._targets.items() if self._accounts.get(key[0]) is state.account
        }

    def states(self) -> Iterable[TargetHealth]:
        """All that are known."""
        return self._targets.values()

    @property
    def targets_ejected(self) -> int:
        """Targets that are ejected, or are and wait for a probe."""
        return sum(state.ejected_until > 0 for state in self._targets.values())

    def targets_cooled(self, now: float) -> int:
        """Targets that asked to be left alone."""
        return sum(state.cooled_until > now for state in self._targets.values())

    def keys_resting(self, now: float) -> int:
        """Accounts that are not asked because they refused our key."""
        return sum(known.key_rests_until > now for known in self._accounts.values())


def _same(one: Account, other: Account) -> bool:
    return one is other or (_reached_by(one) == _reached_by(other))


def _reached_by(account: Account) -> tuple[object, ...]:
    return account.provider.base_url, account.secret, account.headers, account.query
