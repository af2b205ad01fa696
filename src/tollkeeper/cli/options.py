"""What every command takes: --json, --home, --config; and how a command's failure leaves the process."""

import functools
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from tollkeeper.core.errors import CallerError, ConfigError, TollkeeperError

if TYPE_CHECKING:
    from tollkeeper.stores.dynamodb.reports import DynamoReports
    from tollkeeper.stores.sqlite.reports import Reports

EXIT_FAILED = 1
EXIT_CONFIG = 3
EXIT_NOT_FOUND = 4


class Common(msgspec.Struct, frozen=True):
    """The common options of one invocation."""

    json: bool
    home: Path | None
    config: Path | None

    def home_folder(self) -> Path:
        """--home, or what the config says, or its default. Raises ConfigError."""
        if self.home is not None:
            return self.home
        from tollkeeper import config as configuration  # which knows every room's options: not for those who say --home

        return configuration.home(self.config)

    @property
    def table(self) -> bool:
        """Whether the environment names a table, as that of gates on AWS Lambda does, and no home is asked for."""
        return self.home is None and bool(os.environ.get("TOLLKEEPER_TABLE"))

    def sums(self) -> "Reports | DynamoReports":
        """What the store says of usage and events: the table's where there is one, the home's otherwise."""
        if not self.table:
            return self.reports()
        from tollkeeper.stores.dynamodb.reports import reports_of

        return reports_of(os.environ)

    def stored_home(self) -> Path:
        """The same, for commands that read a home's store. Raises CallerError where a table is meant."""
        if self.table:
            raise CallerError(
                "This command reads a home's store, not the table of TOLLKEEPER_TABLE: say which with --home."
            )
        return self.home_folder()

    def reports(self) -> "Reports":
        """What the store of the home says; closed when the command ends. Raises GateError where there is none."""
        home = self.stored_home()
        from tollkeeper.stores.sqlite.reports import Reports  # nor the store

        reports = Reports(home)
        click.get_current_context().call_on_close(reports.close)
        return reports


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options, gives the command one `Common` as its first argument, and turns our errors into exit codes."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.option("--home", type=click.Path(path_type=Path), help="Folder of the store [default: ~/.tollkeeper].")
    @click.option("--config", type=click.Path(path_type=Path), help="Config file [default: ./tollkeeper.toml if any].")
    @functools.wraps(command)
    def wrapped(as_json: bool, home: Path | None, config: Path | None, **rest: Any) -> Any:
        try:
            return command(Common(as_json, home, config), **rest)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(problem, err=True)
            raise SystemExit(EXIT_CONFIG) from None
        except TollkeeperError as error:
            click.echo(f"Error: {error.message}", err=True)
            raise SystemExit(EXIT_NOT_FOUND if error.status == 404 else EXIT_FAILED) from None
        except sqlite3.Error as error:
            from tollkeeper.stores.sqlite.reports import raised

            click.echo(f"Error: {raised(error).message}", err=True)
            raise SystemExit(EXIT_FAILED) from None

    return wrapped


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
