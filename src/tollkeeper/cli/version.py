"""`tollkeeper version`."""

import click

from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core.version import __version__


@click.command()
@common
def version(options: Common) -> None:
    """Print the version."""
    if options.json:
        print_json({"version": __version__})
    else:
        click.echo(__version__)
