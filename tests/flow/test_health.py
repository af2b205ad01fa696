"""How targets fare, in simulated time: ejection, the single probe, rests, latency, and what is forgotten when."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.records import event
from tollkeeper.core.account import Account
from tollkeeper.core.events import Event
from tollkeeper.flow.health import Health, HealthOptions, TargetHealth
from tollkeeper.providers import PROVIDERS

A = Account(name="a", provider=PROVIDERS["vllm"], secret="sk-1")
OK = event(outcome="ok", status=200, first_byte_ms=100.0)
FAILED = event(outcome="upstream_error", status=500, first_byte_ms=10.0, duration_ms=10.0)
REFUSED = event(outcome="upstream_error", status=0, first_byte_ms=None, duration_ms=1.0)


class Told:
    """A health that keeps what it tells."""

    def __init__(self, draw: float = 0.0, **options: Any) -> None:
        self.said: list[str] = []
        self.health = Health(HealthOptions(**options), lambda: draw, lambda what, name, details: self.said.append(what))
        self.state = self.health.target(A, "m", "a/m")

    def try_once(self, end: Event, now: float) -> bool:
        """One attempt that ends at once; whether it was a probe."""
        probe = self.state.begin(now)
        self.state.ended(end, now, probe)
        return probe


def test_five_failures_in_a_row_eject_and_each_time_longer() -> None:
    told = Told()
    state = told.state
    for _ in range(4):
        told.try_once(FAILED, 0.0)
    assert state.ejected_until == 0
    told.try_once(OK, 0.0)
    for _ in range(4):
        told.try_once(REFUSED, 0.0)
    assert state.ejected_until == 0, "a success in between begins the count anew"
    told.try_once(FAILED, 0.0)

    lengths = [state.ejected_until]
    now = 0.0
    for _ in range(12):
        now = state.ejected_until
        assert told.try_once(FAILED, now), "the first attempt when its time is over is the probe"
        lengths.append(state.ejected_until - now)

    assert lengths == [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300, 300]
    assert told.said == ["target_ejected", *["target_probed", "target_ejected"] * 12]


def test_times_are_spread_by_a_tenth() -> None:
    told = Told(draw=0.999)
    for _ in range(5):
        told.try_once(FAILED, 100.0)

    assert 132.9 < told.state.ejected_until < 133


def test_there_is_one_probe_at_a_time_and_a_good_one_brings_it_back() -> None:
    told = Told()
    state = told.state
    for _ in range(5):
        told.try_once(FAILED, 0.0)

    assert not state.begin(29.9)
    probes = [state.begin(30.0) for _ in range(3)]
    assert probes == [True, False, False]
    state.ended(FAILED, 31.0, False)
    assert (state.probing, state.ejected_until) == (True, 30.0), "who was sent before says nothing of the probe"
    state.ended(OK, 32.0, True)

    assert (state.failures, state.ejected_until, state.probing) == (0, 0.0, False)
    assert told.said == ["target_ejected", "target_probed", "target_back"]
    assert [state.trust(32.0), state.trust(47.0), state.trust(62.0)] == [0.1, 0.5, 1.0]


def test_a_probe_whose_caller_left_lets_another_be_made() -> None:
    told = Told()
    for _ in range(5):
        told.try_once(FAILED, 0.0)
    told.try_once(event(outcome="client_left", status=0, first_byte_ms=None), 30.0)

    assert told.state.begin(30.1)
    told.state.unsent(True)
    assert told.state.begin(30.2)
    assert told.state.in_flight == 1 + 0


def test_after_a_long_time_in_health_an_ejection_counts_as_the_first() -> None:
    told = Told()
    now = 0.0
    for pause in (1.0, 1.0, 301.0):
        now += pause
        for _ in range(5):
            told.try_once(FAILED, now)
        now = told.state.ejected_until
        told.try_once(OK, now)

    assert told.state.ejections == 1


def test_asking_too_much_or_with_a_wrong_key_is_no_failure() -> None:
    told = Told()
    for status in (401, 402, 403, 429) * 5:
        told.try_once(event(outcome="upstream_error", status=status), 0.0)

    assert (told.state.failures, told.said) == (0, [])


def test_a_failure_that_is_not_its_own_is_not_counted() -> None:
    told = Told()
    for _ in range(9):
        told.state.begin(0.0)
        told.state.ended(FAILED, 0.0, False, True)

    assert (told.state.failures, told.state.in_flight, told.said) == (0, 0, [])


def test_a_target_rests_as_long_as_it_asks_within_bounds() -> None:
    told = Told()
    state = told.state
    state.cool(None, 100.0)
    assert state.cooled_until == 105.0
    state.cool(1e9, 100.0)
    assert state.cooled_until == 400.0
    state.cool(1.0, 100.0)
    assert state.cooled_until == 400.0, "a later, shorter word does not end it"
    assert told.said == ["target_cooled"]


def test_a_key_rests_for_all_its_targets_and_is_new_when_it_is_changed() -> None:
    told = Told()
    other = told.health.target(A, "n", "a/n")
    other.rest_key(0.0)
    other.rest_key(1.0)

    assert (told.state.account.key_rests_until, told.said) == (600.0, ["key_ejected"])
    assert told.health.keys_resting(0.0) == 1
    changed = msgspec.structs.replace(A, secret="sk-2")
    told.health.keep_only({"a": changed})
    assert told.health.target(changed, "m", "a/m").account.key_rests_until == 0
    assert told.health.keys_resting(0.0) == 0


def test_a_change_of_anything_else_keeps_what_is_known() -> None:
    told = Told()
    same = msgspec.structs.replace(A, leave="cancel")
    told.health.keep_only({"a": same})

    assert told.health.target(same, "m", "a/m") is told.state
    told.health.keep_only({})
    assert list(told.health.states()) == []


def test_latency_rises_quickly_falls_slowly_and_is_kept_apart_for_streams() -> None:
    told = Told()
    state = told.state
    told.try_once(OK, 0.0)
    assert state.latency_of(False, 0.0) == 0.1
    told.try_once(event(outcome="ok", status=200, first_byte_ms=2100.0), 0.0)
    assert state.latency_of(False, 0.0) == 1.1
    told.try_once(OK, 0.0)
    assert 0.99 < (state.latency_of(False, 0.0) or 0) < 1.01
    assert state.latency_of(True, 0.0) is None
    assert 0.49 < (state.latency_of(False, 5.0) or 0) < 0.51, "what is not asked may have become quick again"
    state.begin(5.0)
    assert 0.49 < (state.latency_of(False, 99.0) or 0) < 0.51, "but not while an answer is awaited"


def test_waiting_for_nothing_counts_as_slowness() -> None:
    told = Told()
    told.try_once(OK, 0.0)
    told.try_once(event(outcome="client_left", status=0, first_byte_ms=None, duration_ms=4000.0), 0.0)

    assert (told.state.latency_of(False, 0.0) or 0) > 2


def test_names_that_anybody_may_think_of_do_not_pile_up() -> None:
    told = Told()
    for number in range(5000):
        told.health.target(A, str(number), str(number))

    assert len(list(told.health.states())) <= 2000


ENDS = st.sampled_from([OK, FAILED, REFUSED, event(outcome="client_left", first_byte_ms=None), event(status=429)])


@settings(max_examples=200)
@given(steps=st.lists(st.tuples(st.booleans(), ENDS, st.floats(0, 40)), max_size=60), failures=st.integers(1, 6))
def test_whatever_happens_counts_are_never_wrong_and_nobody_is_lost_for_ever(
    steps: list[tuple[bool, Event, float]], failures: int
) -> None:
    told = Told(failures=failures)
    state: TargetHealth = told.state
    now, under_way = 0.0, []
    for begins, end, passes in steps:
        now += passes
        if begins:
            under_way.append(state.begin(now))
        elif under_way:
            state.ended(end, now, under_way.pop(0))
        assert state.in_flight == len(under_way)
        assert sum(under_way) <= 1
        assert state.probing == any(under_way)
        assert (state.ejected_until > 0) <= (state.failures >= failures)
        assert state.ejected_until <= now + 330
    for probe in under_way:
        state.ended(OK, now, probe)
    now = max(now, state.ejected_until)
    told.try_once(OK, now)
    assert (state.in_flight, state.failures, state.ejected_until) == (0, 0, 0.0)
