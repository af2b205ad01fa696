"""`tollkeeper new`: a project that publishes an API, in three layers, with tests that run without the internet."""

import re
from importlib.resources import files
from pathlib import Path

import click
from jinja2 import Environment, StrictUndefined

from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core.errors import CallerError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")
_PROJECT = {
    "README.md": "readme",
    "tollkeeper.toml": "config",
    "pyproject.toml": "pyproject",
    ".gitignore": "gitignore",
    "{package}/__init__.py": "package",
    "{package}/access.py": "access",
    "{package}/logic.py": "logic",
    "{package}/endpoint.py": "endpoint",
    "tests/test_access.py": "test_access",
    "tests/test_logic.py": "test_logic",
    "tests/test_endpoint.py": "test_endpoint",
}
"""The project's files, and the templates that they come from."""


@click.command()
@click.argument("name")
@common
def new(options: Common, name: str) -> None:
    """Write a project NAME: outside access, logic, endpoint, config, a test for each layer, and a README."""
    if not _NAME.fullmatch(name):
        raise CallerError(
            f"'{name[:64]}' is no name for a project: small letters, digits, '-' and '_', a letter first, 41 at most.",
            code="invalid_value",
            param="name",
        )
    folder = Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CallerError(f"There is a '{name}' here already: choose another name.", status=409, code="output_exists")
    package = name.replace("-", "_") + "_service"
    templates = files("tollkeeper.cli").joinpath("project")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    written: list[str] = []
    for place, template in _PROJECT.items():
        text = templates.joinpath(f"{template}.jinja").read_text("utf-8")
        path = folder / place.format(package=package)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(environment.from_string(text).render(name=name, package=package), "utf-8")
        written.append(str(path))
    if options.json:
        print_json({"folder": str(folder), "files": written})
        return
    for path_written in written:
        click.echo(f"  {path_written}")
    click.echo(f"Go on with:\n  cd {name}\n  python -m pytest\n  tollkeeper serve --demo --reload")
