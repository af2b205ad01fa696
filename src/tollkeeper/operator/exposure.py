"""Whether the operator port may be where it is to be: beyond this machine only a key that nobody guesses guards it."""

from collections.abc import Mapping
from pathlib import Path

from tollkeeper.core.errors import GateError
from tollkeeper.mcp.origins import is_loopback

LEAST = 20
"""Characters of a key. Those that the gate makes have 51."""


def check(host: str, keys: Mapping[Path, str]) -> None:
    """`keys` are the secrets by the files that they are in. Raises GateError where the port may not be opened on `host`."""
    if is_loopback(host):
        return
    for file, secret in keys.items():
        if len(secret) < LEAST:
            raise GateError(
                f"The operator port is not opened on {host or 'every address'} with a key of less than {LEAST} characters: "
                f"delete {file} to have another made, or leave operator_host at 127.0.0.1."
            )
