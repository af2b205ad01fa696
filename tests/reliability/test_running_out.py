"""When this machine runs out of files or ports, callers are told at once, and all is well again when there are some."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kit.gate import GateProcess, running_gate
from kit.raw import RawClient, refusal
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer
from kit.vitals import becomes, open_files, resident, under_way

ASK = {"model": "m", "messages": []}
CONFIG = """
[server.limits]
connections = {connections}
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[retry]
retries = 0
[health]
failures = 1000
[models.m]
targets = ["up/m"]
"""


def _well(request: Request, connection: Connection) -> bool:
    return bool(json_answer(200, chat_answer())(request, connection))


def _calls(gate: GateProcess, key: str) -> int:
    """The status of a call on a connection of its own; 0 where the connection was closed."""
    with contextlib.suppress(OSError):
        return gate.call("POST", "/v1/chat/completions", key, ASK)[0]
    return 0


def _has_ended(client: RawClient) -> bool:
    """Whether the gate has closed a connection that never says anything."""
    try:
        return client.sock.recv(1) == b""
    except OSError:  # nothing yet
        return False


@pytest.mark.row(100)
def test_connections_beyond_the_most_are_told_so_and_those_there_are_served(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(_well) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, connections=20)) as gate,
    ):
        key = gate.new_key()
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(RawClient(gate.port)) for _ in range(20)]
            assert becomes(lambda: under_way(gate.port) == 20)
            for _ in range(5):
                with RawClient(gate.port) as client:
                    answer = client.read_all()
                assert refusal(answer) == (503, "too_many_connections")
                assert b"\r\nretry-after: 1\r\n" in answer
            crowd = [stack.enter_context(RawClient(gate.port)) for _ in range(150)]
            ends = [client.read_all() for client in crowd]

            assert all(end == b"" or refusal(end) == (503, "too_many_connections") for end in ends)
            idle[7].post("/v1/chat/completions", key, ASK)
            assert idle[7].read_until(b"chat.completion").startswith(b"HTTP/1.1 200 ")
        assert becomes(lambda: _calls(gate, key) == 200)


@pytest.mark.row(100)
def test_without_files_left_nobody_hangs_and_all_is_well_once_there_are_some(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(_well) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, connections=1000)) as gate,
    ):
        key = gate.new_key()
        assert _calls(gate, key) == 200
        upstream.script = lambda request, connection: _well(request, connection) and False  # no connection is kept
        assert _calls(gate, key) == 200
        pid = gate.process.pid
        before = open_files(pid)
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(RawClient(gate.port))
            assert becomes(lambda: under_way(gate.port) >= 1)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + 10,) * 2)
            crowd = [stack.enter_context(RawClient(gate.port)) for _ in range(30)]
            for client in crowd:
                client.sock.settimeout(0.001)

            def ended() -> int:
                return sum(_has_ended(client) for client in crowd)

            assert becomes(lambda: ended() >= 15)
            first.post("/v1/chat/completions", key, ASK)
            answer = first.read_until(b"}}")

            assert refusal(answer) == (503, "no_connection_left")
            assert b"\r\nretry-after: 1\r\n" in answer
        assert becomes(lambda: open_files(pid) <= before + 2)
        assert becomes(lambda: _calls(gate, key) == 200)
        assert gate.command("verify")["open_holds"] == 0


IN_A_NAMESPACE = """
import http.client, json, pathlib, subprocess, sys, tempfile, threading
sys.path.insert(0, sys.argv[1])
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("50000 50019")
from kit.gate import running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
release = threading.Event()
def script(request, connection):
    release.wait(20)
    json_answer(200, chat_answer())(request, connection)
    return True
with ScriptedUpstream(script) as upstream, running_gate(pathlib.Path(tempfile.mkdtemp()), sys.argv[2].format(
    url=upstream.url, connections=1000)) as gate:
    key, ask, ends = gate.new_key(), {"model": "m", "messages": []}, []
    def call(number):  # from several addresses: the callers' own ports are not to run out
        connection = http.client.HTTPConnection("127.0.0.1", gate.port, 30, (f"127.0.0.{2 + number % 4}", 0))
        connection.request("POST", "/v1/chat/completions", json.dumps(ask), {"authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        ends.append((answer.status, json.loads(answer.read()).get("error", {}).get("code")))
        connection.close()
    callers = [threading.Thread(target=call, args=(number,)) for number in range(40)]
    for caller in callers: caller.start()
    for caller in callers: caller.join(0.02)
    early = list(ends)
    release.set()
    for caller in callers: caller.join(20)
    call(0)
    print(json.dumps([early, ends]))
"""


def _namespaces() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.row(100)
@pytest.mark.skipif(not _namespaces(), reason="no network namespace can be made here")
def test_without_ports_left_to_a_provider_callers_are_told_at_once_and_others_are_served() -> None:
    tests = str(Path(__file__).parent.parent)
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", IN_A_NAMESPACE, tests, CONFIG],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    early, ends = json.loads(done.stdout)

    assert early
    assert {tuple(end) for end in early} == {(503, "no_connection_left")}
    assert [status for status, _ in ends].count(200) >= 10
    assert ends[-1][0] == 200


@pytest.mark.row(100)
@pytest.mark.long
def test_ten_thousand_idle_connections_cost_little_and_calls_are_served(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 15_000:
        pytest.skip("this process may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with (
            ScriptedUpstream(_well) as upstream,
            running_gate(tmp_path, CONFIG.format(url=upstream.url, connections=20_000)) as gate,
        ):
            key = gate.new_key()
            assert _calls(gate, key) == 200
            before = resident(gate.process.pid)
            idle = []
            for number in range(10_000):
                # From several addresses: one alone has not so many ports in every namespace.
                sock = socket.socket()
                sock.bind((f"127.0.0.{2 + number % 4}", 0))
                sock.connect(("127.0.0.1", gate.port))
                idle.append(sock)
            assert becomes(lambda: open_files(gate.process.pid) > 10_000)

            assert all(_calls(gate, key) == 200 for _ in range(50))
            assert resident(gate.process.pid) - before < 10_000 * 16 * 1024
            for sock in idle:
                sock.close()
            assert becomes(lambda: open_files(gate.process.pid) < 200)
            assert _calls(gate, key) == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _store_files(pid: int) -> dict[str, int]:
    """The flags of every descriptor that a process has on the files of its home."""
    found = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/{pid}/fd/{number}")
            if Path(path).name.startswith(("tollkeeper.db", "gate.lock")):
                info = Path(f"/proc/{pid}/fdinfo/{number}").read_text("ascii")
                found[f"{number} {path}"] = int(info.partition("flags:")[2].split()[0], 8)
    return found


@pytest.mark.row(78)
def test_reloads_under_load_leave_the_store_as_it_is_and_no_child_could_inherit_it(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(_well) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, connections=1000)) as gate,
    ):
        key = gate.new_key()
        assert _calls(gate, key) == 200
        gate.events_once(1)
        files = _store_files(gate.process.pid)
        over = threading.Event()

        def reload() -> None:
            while not over.wait(0.02):
                gate.process.send_signal(signal.SIGHUP)

        reloading = threading.Thread(target=reload)
        reloading.start()
        statuses = {_calls(gate, key) for _ in range(60)}
        over.set()
        reloading.join()

        assert statuses == {200}
        assert len(gate.events_once(61)) == 61 == len(upstream.requests)
        assert files
        assert all(flags & os.O_CLOEXEC for flags in files.values())
        assert set(_store_files(gate.process.pid)) == set(files)
        children = Path(f"/proc/{gate.process.pid}/task/{gate.process.pid}/children").read_text("ascii")
        assert children == ""
        assert gate.stop() == 0
    with contextlib.closing(sqlite3.connect(gate.home / "tollkeeper.db")) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
