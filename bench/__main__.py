"""`scripts/bench`: measures what was asked for and prints it."""

import argparse
import contextlib
import datetime
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import latency, memory, peers, report, rounds, routes, routing, servers, slow_clients, startup, translation
from bench.processes import Unready
from bench.workloads import beside_published, workloads

PARTS = (
    *("small", "routes", "routing", "large", "fast", "paced", "apis"),
    *("latency", "slow", "memory", "translation", "start"),
)


def main() -> int:
    """Runs from the command line. Exit codes: 0 measured, 1 calls failed, 2 something needed is not installed."""
    given = _options()
    _end_in_time(given)
    missing = [name for name in ("nginx", "wrk") if shutil.which(name) is None]
    if missing:
        print(f"Not installed: {', '.join(missing)}. On Debian: apt-get install nginx-light wrk", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="tollkeeper-bench-") as folder:
            found = _measured(given, Path(folder))
    except Unready as error:
        print(error, file=sys.stderr)
        return 1
    print(report.as_json(found) if given.json else report.as_text(found))
    return 1 if found.failed else 0


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="scripts/bench", description="Measures the gate beside nginx.")
    options.add_argument("--rounds", type=int, default=3, help="rounds of which the median is taken [default: 3]")
    options.add_argument("--seconds", type=float, default=4, help="length of one measurement [default: 4]")
    options.add_argument("--only", choices=PARTS, action="append", help="only this part; may be given again")
    options.add_argument("--open", type=int, default=400, help="paced streams that are open [default: 400]")
    options.add_argument("--hidden-usage", action="store_true", help="streams whose client did not ask for usage")
    options.add_argument("--install", action="store_true", help="also weigh a default install, in a new environment")
    options.add_argument("--peers", action="store_true", help="also small JSON through other gateways, from .peers")
    options.add_argument("--json", action="store_true", help="one JSON document in place of tables")
    return options.parse_args()


def _end_in_time(given: argparse.Namespace) -> None:
    """Has every process ended with this one, when it is told to stop and when it takes far longer than it should."""

    def stop(number: int, frame: object) -> None:
        sys.exit(f"ended by {signal.Signals(number).name}")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(round(300 + 25 * given.rounds * (given.seconds + 10)) + (1200 if given.peers or given.install else 0))


def _measured(given: argparse.Namespace, folder: Path) -> report.Report:
    asked = given.only or PARTS
    found = report.Report(_about())
    if given.peers:
        peers.ready()
        found.about["peers"] = peers.versions()
    with contextlib.ExitStack() as stack:
        mock = stack.enter_context(servers.mock(folder))
        nginx = stack.enter_context(servers.nginx(folder, mock.port))
        gate = stack.enter_context(servers.tollkeeper(folder, mock.port))
        for server in (mock, nginx, gate):
            servers.check(server)
        if "memory" in asked:
            found.memory = [memory.measure(folder, server) for server in (nginx, gate)]
        for name, (words, measure) in workloads(given.open, given.hidden_usage).items():
            if name in asked:
                found.lines += rounds.alternate(folder, words, measure, (nginx, gate), given.rounds, given.seconds)
        if "apis" in asked:
            published = servers.published(gate)
            servers.check(published)
            for words, measure in beside_published().items():
                found.lines += rounds.alternate(folder, words, measure, (gate, published), given.rounds, given.seconds)
        if "routes" in asked:
            _, measure = workloads(given.open, False)["small"]
            with routes.gate(folder, mock.port) as routed:
                servers.check(routed)
                pair = (nginx, routed)
                found.lines += rounds.alternate(folder, routes.WORDS, measure, pair, given.rounds, given.seconds)
        if "routing" in asked:
            found.routing = routing.measure()
        if "latency" in asked:
            found.latency = latency.alternate(folder, (mock, nginx, gate), given.rounds, given.seconds)
        if "slow" in asked:
            found.slow = slow_clients.alternate(folder, gate, given.rounds, given.seconds)
        if "translation" in asked:
            found.translated = translation.pairs()
        if "start" in asked:
            found.start_seconds = startup.seconds_to_first_answer(folder, mock.port, given.rounds)
        if given.peers:
            words, measure = workloads(given.open, False)["small"]
            for peer in (peers.pass_through, peers.tutorial, peers.litellm):
                with peer(folder, mock.port) as server:
                    title, pair = f"{words}: {server.name}", (nginx, server)
                    found.lines += rounds.alternate(folder, title, measure, pair, given.rounds, given.seconds)
    if given.install:
        found.install = startup.install()
    return found


def _about() -> dict[str, str]:
    nginx = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False).stderr
    return {
        "date": datetime.datetime.now().date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load average {os.getloadavg()[0]:.1f} at the start",
        "python": platform.python_version(),
        "nginx": nginx.rpartition("/")[2].strip(),
        "command": " ".join(["scripts/bench", *sys.argv[1:]]),
    }


if __name__ == "__main__":
    sys.exit(main())
