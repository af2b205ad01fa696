"""A process that has imported `tollkeeper` and copies itself when asked (copies.py asks); each copy runs one command."""

import contextlib
import gc
import json
import os
import select
import socket
import sys
import time
from typing import Any

from tollkeeper.cli import budgets, check, events, keys, run, serve, usage, verify
from tollkeeper.cli.main import main

PREPARED_FOR = (budgets, check, events, keys, run, serve, usage, verify)
"""What tests start most; other commands are imported in the copy, as everywhere."""


def command_of_a_copy(asked: socket.socket) -> list[str]:
    """Returns in each copy, with its command line. In the original it ends the process when nobody can ask any more."""
    under_way: dict[int, tuple[int, int]] = {}  # by a file descriptor of the process: its id, where its end is told
    while True:
        for ready in select.select([asked.fileno(), *under_way], [], [])[0]:
            if ready in under_way:
                process, told = under_way.pop(ready)
                os.close(ready)
                tell(told, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
                os.close(told)
                continue
            message, files, _, _ = socket.recv_fds(asked, 1 << 20, 4)
            if not message:
                raise SystemExit
            process = os.fork()
            if process == 0:
                for kept in (asked.detach(), files[3], *under_way, *(told for _, told in under_way.values())):
                    os.close(kept)
                return become(json.loads(message), files[:3])
            for file in files[:3]:
                os.close(file)
            under_way[os.pidfd_open(process)] = process, files[3]
            tell(files[3], process)


def tell(where: int, number: int) -> None:
    """A line with a number; somebody who has left need not read it."""
    with contextlib.suppress(BrokenPipeError):
        os.write(where, f"{number}\n".encode())


def become(asked: dict[str, Any], files: list[int]) -> list[str]:
    """Takes the place of a process that was started as `python -m tollkeeper`; its command line."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(asked["folder"])
    sys.path.insert(0, asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    arguments: list[str] = asked["arguments"]
    return arguments


if __name__ == "__main__":
    gc.freeze()
    main(command_of_a_copy(socket.socket(fileno=int(sys.argv[1]))), prog_name="python -m tollkeeper")
