"""Broken, silent and slow targets under load: callers notice nothing, and extra requests stay within their bound."""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from kit.load import Answered, load
from kit.scripted import Connection, Request, Script
from kit.several import WELL, Several, failing, several, silent

SHORT = "connect = 1, first_byte = 0.5, idle = 5, total = 20"
DEFAULT = "[retry]\n"


def _calls(running: Several, count: int, at_once: int = 20, pause: float = 0.0) -> list[Answered]:
    return asyncio.run(load(running.gate.port, running.key, count, at_once, pause=pause))


def _well(answers: list[Answered]) -> float:
    return sum(answer.status == 200 for answer in answers) / len(answers)


@pytest.mark.parametrize("strategy", ["ordered", "weighted", "least-latency", "least-cost"])
def test_of_three_targets_one_fails_one_is_silent_and_callers_are_answered_by_the_third(
    tmp_path: Path, strategy: str
) -> None:
    with several(
        tmp_path, [failing(500), silent, WELL], f'strategy = "{strategy}"', retry=DEFAULT, timeouts=SHORT
    ) as running:
        answers = _calls(running, 1000)

        assert _well(answers) >= 0.999
        assert sum(running.counts()) <= 1.2 * len(answers)
        assert {answer.headers["x-tollkeeper-model"] for answer in answers} == {"c/m"}


@pytest.mark.long
def test_the_same_goes_on_while_they_are_probed_again_and_again(tmp_path: Path) -> None:
    more = 'strategy = "weighted"\n[health]\neject = 1\nmost_eject = 2\n'
    with several(tmp_path, [failing(500), silent, WELL], more, retry=DEFAULT, timeouts=SHORT) as running:
        answers = _calls(running, 8000, at_once=50, pause=0.05)

        assert _well(answers) >= 0.999
        assert sum(running.counts()) <= 1.2 * len(answers)
        assert running.counts()[0] > 10
        assert running.counts()[1] > 10


@pytest.mark.row(34)
def test_where_every_target_fails_retries_end_soon_and_what_is_well_again_is_found(tmp_path: Path) -> None:
    more = 'strategy = "weighted"\n[health]\neject = 0.5\nmost_eject = 0.5\nslow_start = 0.1\n'
    retry = "[retry]\nbase = 0.01\nleast = 0\n"
    with several(tmp_path, [failing(500)] * 3, more, retry=retry) as running:
        answers = _calls(running, 1000)

        assert {answer.status for answer in answers} == {500}
        assert (
            sum(running.counts()) <= 1.2 * len(answers) + 60
        )  # 20 calls at once that did not know yet, at two targets
        running.forget()
        answers = _calls(running, 1000)
        assert sum(running.counts()) <= 1.2 * len(answers) + 20  # what was saved up by a target that was ejected
        for upstream in running.upstreams:
            upstream.script = WELL
        until = time.monotonic() + 30
        while "tollkeeper_targets_ejected 0.0" not in running.metrics() and time.monotonic() < until:
            _calls(running, 20, at_once=2)
        running.forget()
        answers = _calls(running, 300)
        assert _well(answers) == 1
        assert all(count > 50 for count in running.counts())
        assert sum(running.counts()) == 300


@pytest.mark.row(34)
def test_a_target_that_is_alone_and_fails_gets_a_fifth_more_at_most(tmp_path: Path) -> None:
    with several(tmp_path, [failing(503)], retry="[retry]\nbase = 0.01\nleast = 0\n") as running:
        answers = _calls(running, 1000)

        assert {answer.status for answer in answers} == {503}
        assert 1000 < sum(running.counts()) <= 1200


class _Pace:
    """A target that answers after a while, and how many calls it had under way at most."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self.seconds)
        with self._lock:
            self._now -= 1
        return WELL(request, connection)


@pytest.mark.row(35)
def test_a_slow_target_is_shifted_away_from(tmp_path: Path) -> None:
    paces = [_Pace(0.01), _Pace(0.01), _Pace(0.01)]
    scripts: list[Script] = [*paces]
    with several(tmp_path, scripts, 'strategy = "least-latency"', timeouts="first_byte = 20") as running:
        _calls(running, 300)
        assert all(count > 40 for count in running.counts())
        paces[0].seconds = 0.5  # fifty times as long
        _calls(running, 100)
        running.forget()
        answers = _calls(running, 1000)

        assert running.counts()[0] <= 0.06 * len(answers), "not the third that it was"
        assert sum(answer.seconds > 0.4 for answer in answers) <= 0.2 * len(answers)


@pytest.mark.long
@pytest.mark.row(35)
def test_it_is_not_stormed_when_it_is_quick_again(tmp_path: Path) -> None:
    paces = [_Pace(0.01), _Pace(0.01), _Pace(0.01)]
    scripts: list[Script] = [*paces]
    with several(tmp_path, scripts, 'strategy = "least-latency"', timeouts="first_byte = 20") as running:
        paces[0].seconds = 0.5
        _calls(running, 300)
        paces[0].seconds = 0.01
        time.sleep(0.6)  # whatever is still under way there
        paces[0].most = 0
        running.forget()
        until = time.monotonic() + 60
        asked = 0
        while asked < 100 and time.monotonic() < until:
            _calls(running, 200, at_once=10, pause=0.05)
            asked = running.counts()[0]

        assert asked >= 100
        assert paces[0].most <= 6
        [shown] = [state for state in _states(running) if state["target"] == "a/m"]
        assert shown["latency_ms"] < 200


def _states(running: Several) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(running.gate.operator("GET", "/api/health")[2])["data"]
    return found


@pytest.mark.long
@pytest.mark.row(35)
def test_a_target_one_of_whose_answers_in_a_hundred_is_slow_gets_less(tmp_path: Path) -> None:
    draw = random.Random(1)

    def often(request: Request, connection: Connection) -> bool | None:
        time.sleep(1.0 if draw.random() < 0.01 else 0.02)
        return WELL(request, connection)

    def steady(request: Request, connection: Connection) -> bool | None:
        time.sleep(0.02)
        return WELL(request, connection)

    with several(tmp_path, [often, steady, steady], 'strategy = "least-latency"') as running:
        answers = _calls(running, 6000)

        assert running.counts()[0] < 0.2 * len(answers)
        slow = sum(answer.seconds > 0.8 for answer in answers)
        assert slow < 0.0025 * len(answers)


@pytest.mark.row(74)
def test_every_attempt_has_its_event_and_their_costs_add_up(tmp_path: Path) -> None:
    with several(tmp_path, [failing(500), WELL], "[health]\nfailures = 1000\n") as running:
        answers = _calls(running, 200, at_once=10)
        events = running.gate.events_once(400)

        assert (_well(answers), len(events), running.counts()) == (1, 400, [200, 200])
        by_call = Counter(event["request_id"] for event in events)
        assert set(by_call.values()) == {2}
        assert {(event["provider"], event["attempt"], event["outcome"]) for event in events} == {
            ("a", 1, "upstream_error"),
            ("b", 2, "ok"),
        }
        assert {event["cost_usd"] for event in events} == {"0", "0.000015"}
        usage = running.gate.command("usage")
        assert usage[0]["cost_usd"] == "0.003" if isinstance(usage, list) else True
        assert running.gate.command("verify")["ok"]


@pytest.mark.row(41)
def test_a_kept_connection_that_ends_without_a_word_is_replaced_whatever_the_budget_says(tmp_path: Path) -> None:
    known: set[int] = set()

    def once_a_connection(request: Request, connection: Connection) -> bool | None:
        port = connection.sock.getpeername()[1]
        if port in known:
            return False
        known.add(port)
        return WELL(request, connection)

    with several(tmp_path, [once_a_connection], retry="[retry]\nbudget = 0\nleast = 0\n") as running:
        answers = _calls(running, 10, at_once=1)

        assert [answer.status for answer in answers] == [200] * 10
        assert [answer.headers["x-tollkeeper-attempts"] for answer in answers] == ["1", *["2"] * 9]
        running.upstreams[0].script = lambda request, connection: False
        assert running.ask()[0] == 502
        assert _states(running)[0]["failures"] == 1, "of two attempts the one over a new connection counts"


@pytest.mark.row(41)
def test_a_connection_that_its_provider_has_closed_meanwhile_costs_no_call(tmp_path: Path) -> None:
    def once(request: Request, connection: Connection) -> bool | None:
        WELL(request, connection)
        return False  # and closes, though it did not say that it would

    with several(tmp_path, [once]) as running:
        answers = _calls(running, 200, at_once=8, pause=0.002)

        assert _well(answers) == 1
        assert sum(running.counts()) <= 1.2 * len(answers)
