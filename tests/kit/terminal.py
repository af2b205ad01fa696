"""A `tollkeeper` command run as someone at a terminal would run it: its exit code, what it prints, what it complains of."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.copies import run

NOBODYS_HOME = Path(os.devnull)
"""Where nothing can be: what is in the home of whoever runs the tests says nothing to them."""


class Ended:
    """A command that has ended."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.code = done.returncode
        self.out = done.stdout.decode()
        self.error = done.stderr.decode()
        assert "Traceback" not in self.error, self.error

    def json(self) -> Any:
        """What it printed, with --json."""
        return json.loads(self.out)


def tollkeeper(
    *arguments: str | bytes,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    input: bytes = b"",
) -> Ended:
    """Runs it to its end in `folder`, without anybody's provider keys and home. No command may ever show a traceback."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    kept["HOME"] = str(folder or NOBODYS_HOME)
    return Ended(
        run(
            *map(os.fsdecode, arguments),
            folder=folder or Path.cwd(),
            environment={**kept, **(environment or {})},
            input=input,
        )
    )
