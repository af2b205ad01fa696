"""`scripts/bench`: measures what was asked for and prints it."""

import argparse
import contextlib
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from bench import servers
from bench.workloads import Sample, workloads


def main() -> int:
    """Runs from the command line; the exit code."""
    options = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--only", action="append")
    options.add_argument("--hidden-usage", action="store_true")
    given = options.parse_args()
    missing = [name for name in ("nginx", "wrk") if shutil.which(name) is None]
    if missing:
        print(f"Needed here: {', '.join(missing)}. On Debian: apt-get install nginx-light wrk", file=sys.stderr)
        return 2
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-bench-")))
        mock = stack.enter_context(servers.mock(folder))
        nginx = stack.enter_context(servers.nginx(folder, mock.port))
        gate = stack.enter_context(servers.tollkeeper(folder, mock.port))
        for name, (words, measure) in workloads(given.hidden_usage).items():
            if given.only and name not in given.only:
                continue
            samples: dict[str, list[Sample]] = {"nginx": [], "tollkeeper": []}
            for server in (nginx, gate):
                measure(folder, server, 1)
            for _ in range(given.rounds):
                for server in (nginx, gate):
                    samples[server.name].append(measure(folder, server, given.seconds))
            print(words)
            base = statistics.median(s.micros for s in samples["nginx"])
            for who, found in samples.items():
                micros = statistics.median(s.micros for s in found)
                rate = statistics.median(s.rate for s in found)
                failed = sum(s.failed for s in found)
                print(
                    f"  {who:11} {micros:8.1f} us  {micros / base:5.2f} x  {rate:8.0f}/s  failed {failed}", flush=True
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
