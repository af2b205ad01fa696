"""`tollkeeper`: the command groups."""

import click

from tollkeeper.cli.budgets import budgets
from tollkeeper.cli.check import check
from tollkeeper.cli.events import events
from tollkeeper.cli.explain import explain
from tollkeeper.cli.keys import keys
from tollkeeper.cli.run import run
from tollkeeper.cli.serve import serve
from tollkeeper.cli.usage import usage
from tollkeeper.cli.verify import verify
from tollkeeper.cli.version import version


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The gate between programs and what they call."""


for _command in (serve, run, keys, budgets, usage, events, explain, check, verify, version):
    main.add_command(_command)
