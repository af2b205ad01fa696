"""`tollkeeper`: the command groups, each imported when it is asked for: most need little of what serving needs."""

import gc
from importlib import import_module

import click

from tollkeeper.core.version import __version__

_COMMANDS = (
    "serve",
    "run",
    "new",
    "deploy",
    "keys",
    "budgets",
    "holds",
    "usage",
    "events",
    "explain",
    "routes",
    "chat",
    "check",
    "verify",
    "version",
)
"""In the order of the help; each is in the module of its name."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        collected = gc.isenabled()
        gc.disable()  # what imports make stays: looking through it for garbage is a tenth of the time that they take
        try:
            found: click.Command = getattr(import_module(f"tollkeeper.cli.{cmd_name}"), cmd_name)
        finally:
            if collected:
                gc.enable()
        return found


@click.version_option(__version__, message="%(version)s")
@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The gate between programs and what they call."""
