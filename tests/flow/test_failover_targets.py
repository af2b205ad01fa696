"""Which target a call goes to in the course of time: ejection and return, caps, sessions, costs, changes of the config."""

import json
import threading
import time
from pathlib import Path

from kit.scripted import Connection, Request
from kit.several import WELL, failing, several

FAST = "[health]\nfailures = 3\neject = 1.5\nslow_start = 0\n"


def test_a_target_that_fails_again_and_again_is_ejected_probed_once_and_comes_back(tmp_path: Path) -> None:
    with several(tmp_path, [failing(500), WELL], FAST) as running:
        assert [running.ask()[0] for _ in range(10)] == [200] * 10
        assert running.counts() == [3, 10]
        assert "tollkeeper_targets_ejected 1.0" in running.metrics()
        assert 'tollkeeper_ejections_total{gen_ai_provider_name="a"} 1.0' in running.metrics()
        time.sleep(1.6)
        assert [running.ask()[0] for _ in range(5)] == [200] * 5
        assert running.counts() == [4, 15], "one probe, and it failed"
        running.upstreams[0].script = WELL
        until = time.monotonic() + 30
        while running.ask()[1]["x-tollkeeper-model"] != "a/m" and time.monotonic() < until:
            time.sleep(0.02)

        assert running.ask()[1]["x-tollkeeper-model"] == "a/m"
        assert running.said("target_back")
        said = [json.loads(line)["event"] for line in running.gate.log().splitlines() if '"target_' in line]
        assert said == [
            "target_ejected",
            "target_probed",
            "target_ejected",
            "target_probed",
            "target_back",
        ]


def test_a_caller_in_a_hurry_does_not_make_a_target_look_ill(tmp_path: Path) -> None:
    def slow(request: Request, connection: Connection) -> bool | None:
        time.sleep(0.25)
        return WELL(request, connection)

    with several(tmp_path, [slow, WELL], FAST) as running:
        for _ in range(5):
            hurried = running.gate.call(
                "POST", "/v1/chat/completions", running.key, {"model": "m"}, x_tollkeeper_timeout="0.15"
            )
            assert hurried[0] == 504

        assert running.ask()[1]["x-tollkeeper-model"] == "a/m"
        assert "target_ejected" not in running.gate.log()


def test_the_last_target_is_never_ejected(tmp_path: Path) -> None:
    with several(tmp_path, [failing(500)], FAST, retry="[retry]\nretries = 0\n") as running:
        assert [running.ask()[0] for _ in range(8)] == [500] * 8
        assert running.counts() == [8]


def test_an_upload_that_is_wrong_says_nothing_of_its_target(tmp_path: Path) -> None:
    with several(tmp_path, [WELL, WELL], FAST) as running:
        form = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\na/m\r\n'
        twice = form + b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"A" * 200_000
        twice += b"\r\n" + form + b"--x--\r\n"
        kind = "multipart/form-data; boundary=x"
        for _ in range(6):
            status = running.gate.call("POST", "/v1/audio/transcriptions", running.key, twice, content_type=kind)[0]
            assert status == 400

        events = running.gate.events_once(6)
        assert {(each["outcome"], each["cost_usd"]) for each in events} == {("error", "0")}
        assert {each["error_code"] for each in events} == {"invalid_form"}
        data = json.loads(running.gate.operator("GET", "/api/health")[2])["data"]
        assert [each["state"] for each in data if each["failures"]] == []


def test_health_outlives_a_change_of_the_config_where_the_account_stays_the_same(tmp_path: Path) -> None:
    with several(tmp_path, [failing(500), WELL], FAST.replace("1.5", "60")) as running:
        for _ in range(4):
            running.ask()

        for change, expected in (("base = 0.02", "ejected"), ('"sk-new"', "well")):
            running.reconfigure("base = 0.01" if "base" in change else '"sk-a"', change)
            running.upstreams[0].script = WELL
            running.ask()
            data = json.loads(running.gate.operator("GET", "/api/health")[2])["data"]
            assert next(entry["state"] for entry in data if entry["target"] == "a/m") == expected


def test_a_target_gets_no_more_calls_at_once_than_it_may_have(tmp_path: Path) -> None:
    go = threading.Event()

    def slow(request: Request, connection: Connection) -> bool | None:
        go.wait(30)
        return WELL(request, connection)

    targets = '{ target = "a/m", concurrency = 2 }, { target = "b/m", concurrency = 1 }'
    with several(tmp_path, [slow, slow], targets=targets, timeouts="first_byte = 20") as running:
        answers: list[tuple[int, dict[str, str], bytes]] = []
        threads = [threading.Thread(target=lambda: answers.append(running.ask())) for _ in range(3)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 30
        while running.counts() != [2, 1] and time.monotonic() < until:
            time.sleep(0.01)

        status, headers, body = running.ask()

        assert (status, json.loads(body)["error"]["code"], headers["retry-after"]) == (503, "targets_busy", "1")
        while (told := running.gate.operator("GET", f"/api/explain/{headers['x-request-id']}"))[0] != 200:
            assert time.monotonic() < until, "a refusal is written a moment after its answer"
        targets = [(target["target"], target["reason"]) for target in json.loads(told[2])["targets"]]
        assert targets == [("a/m", "full"), ("b/m", "full")]
        go.set()
        for thread in threads:
            thread.join()
        assert [answer[0] for answer in answers] == [200] * 3
        assert (running.ask()[0], running.counts()) == (200, [3, 1])


def test_a_call_that_waits_to_be_tried_again_takes_no_place_that_others_have_meanwhile(tmp_path: Path) -> None:
    go = threading.Event()

    def limited_once(request: Request, connection: Connection) -> bool | None:
        if len(upstream.requests) == 1:
            return failing(429, "retry-after: 3")(request, connection)
        go.wait(30)
        return WELL(request, connection)

    with several(tmp_path, [limited_once], targets='{ target = "a/m", concurrency = 1 }') as running:
        upstream = running.upstreams[0]
        answers: dict[str, int] = {}
        first = threading.Thread(target=lambda: answers.update(first=running.ask()[0]))
        first.start()
        until = time.monotonic() + 30
        while running.counts() != [1] and time.monotonic() < until:
            time.sleep(0.01)
        second = threading.Thread(target=lambda: answers.update(second=running.ask()[0]))
        second.start()
        first.join()
        go.set()
        second.join()

        assert answers == {"first": 429, "second": 200}
        assert running.counts() == [2]


# --- strategies ----------------------------------------------------------------------------------------------------


def test_sessions_stay_with_their_target_and_only_those_of_one_that_goes_move(tmp_path: Path) -> None:
    with several(tmp_path, [WELL] * 3, 'strategy = "weighted"\naffinity = true') as running:

        def homes() -> dict[str, str]:
            return {
                name: running.gate.call(
                    "POST",
                    "/v1/chat/completions",
                    running.key,
                    {"model": "m", "messages": []},
                    x_tollkeeper_session=name,
                )[1]["x-tollkeeper-model"]
                for name in map(str, range(40))
            }

        before = homes()
        assert homes() == before
        assert set(before.values()) == {"a/m", "b/m", "c/m"}
        by_user = {running.ask(user="u1")[1]["x-tollkeeper-model"] for _ in range(6)}
        assert len(by_user) == 1
        running.reconfigure('"a/m", ', "")

        after = homes()

        assert {name for name in before if before[name] != after[name]} == {
            name for name, home in before.items() if home == "a/m"
        }


def test_the_cheapest_is_asked_first(tmp_path: Path) -> None:
    targets = '"a/m", { target = "b/m", price = { input = 0.1, output = 0.1 } }'
    with several(tmp_path, [WELL, WELL], 'strategy = "least-cost"', targets=targets) as running:
        headers = [running.ask()[1] for _ in range(3)]

        assert {found["x-tollkeeper-model"] for found in headers} == {"b/m"}
        assert {found["x-tollkeeper-cost"] for found in headers} == {"0.0000012"}


def test_the_choice_is_noted(tmp_path: Path) -> None:
    with several(tmp_path, [failing(500), failing(429, "retry-after: 60"), WELL], FAST) as running:
        running.ask()
        running.ask()
        events = running.gate.events_once(5)

    traces = {
        (event["provider"], event["attempt"]): [note for note in event["trace"] if note[0] in ("target", "skipped")]
        for event in reversed(events)
    }
    assert traces["c", 3] == [
        ["target", "a/m", "ordered"],
        ["target", "b/m", "after upstream_500"],
        ["target", "c/m", "after upstream_429"],
    ]
    assert traces["c", 2] == [
        ["target", "a/m", "ordered"],
        ["skipped", "b/m", "cooled"],
        ["target", "c/m", "after upstream_500"],
    ]


def test_by_default_a_call_is_tried_twice_more_and_waits_are_short(tmp_path: Path) -> None:
    with several(tmp_path, [failing(500)], retry="[retry]\n") as running:
        status, headers, _ = running.ask()

        assert (status, headers["x-tollkeeper-attempts"]) == (500, "3")
        first, _, third = running.upstreams[0].requests
        assert third.at - first.at < 2.0
