"""`tollkeeper deploy`: commented files that put the gate behind a server, for this installation."""

import re
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
from jinja2 import Environment, StrictUndefined

from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.core.errors import CallerError

_PATH_SAYS_NOTHING_ELSE = re.compile(r"/[\w./@+-]*", re.ASCII)
"""A path that is one word in every one of these files: no space, quote, `$`, `%` or line break."""
_DOMAIN = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_RELATIVE = re.compile(r"(\./)?[\w./@+-]*", re.ASCII)
_VERSION = re.compile(r"3\.(1[1-9]|[2-9]\d)")
_PORT = click.IntRange(1, 65535)
# Comments are the files' own, and a block tag leaves no empty line.
_TEMPLATES = Environment(
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    autoescape=False,
)


def _checked(pattern: re.Pattern[str], wanted: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def check(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None and not pattern.fullmatch(value):
            raise click.BadParameter(f"expected {wanted}, found {value!r}.")
        return value

    return check


def _path(name: str, default: str | None, help: str) -> Callable[..., Any]:
    check = _checked(_PATH_SAYS_NOTHING_ELSE, "an absolute path of letters, digits and ./@+-_")
    return click.option(name, default=default, callback=check, help=help, show_default=default is not None)


_domain = click.option("--domain", required=True, callback=_checked(_DOMAIN, "a domain"), help="Where people reach it.")
_listen = click.option("--port", type=_PORT, help="Port that the server listens on [default: 80; 443 with TLS].")
_gate_port = click.option("--gate-port", type=_PORT, default=9080, show_default=True, help="Port of the gate itself.")
_venv = _path("--venv", sys.prefix, "Virtual environment in which Tollkeeper is.")
_environment = _path("--environment", "/etc/tollkeeper.env", "File of NAME=value lines with the providers' keys.")
_certificate = _path("--certificate", None, "TLS certificate with its chain.")
_certificate_key = _path("--certificate-key", None, "The certificate's key.")


def _user(command: Callable[..., Any]) -> Callable[..., Any]:
    check = _checked(_USER, "the name of a user")
    command = click.option("--group", callback=check, help="Its group [default: named as the user].")(command)
    return click.option("--user", default="tollkeeper", show_default=True, callback=check, help="Who it runs as.")(
        command
    )


def _writes(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--force", is_flag=True, help="Overwrite files that are there.")(command)
    output = click.Path(file_okay=False, path_type=Path)
    return click.option("-o", "--output", type=output, default=".", show_default=True, help="Folder to write to.")(
        command
    )


@click.group()
def deploy() -> None:
    """Write files that put the gate behind a server. Nothing is installed: it says what to run."""


@deploy.command()
@_domain
@_listen
@_certificate
@_certificate_key
@click.option("--threads", type=click.IntRange(1), default=64, show_default=True, help="Calls under way, at most.")
@_path("--script", "/etc/tollkeeper/tollkeeper.wsgi", "Where the WSGI script will be.")
@_venv
@_environment
@_user
@_writes
@common
def apache(options: Common, output: Path, force: bool, script: str, **given: Any) -> None:
    """For Apache with mod_wsgi, whose Python must be the virtual environment's."""
    values = _placed(options, given) | {"script": script}
    site = "/etc/apache2/sites-available/tollkeeper.conf"
    modules = "wsgi ssl" if values["certificate"] else "wsgi"
    steps = [
        *_preparing(values),
        f"sudo install -D -m 644 tollkeeper.wsgi {script}",
        f"sudo install -m 644 tollkeeper.conf {site}",
        f"sudo a2enmod {modules}",
        "sudo a2ensite tollkeeper",
        "sudo apachectl configtest && sudo systemctl restart apache2",
        f"sudo -u {values['user']} {values['venv']}/bin/tollkeeper keys create --name ada --home {values['home']}",
    ]
    _write("apache", ["tollkeeper.conf", "tollkeeper.wsgi"], values, options, output, force, steps)


@deploy.command()
@_domain
@_listen
@_certificate
@_certificate_key
@_gate_port
@_writes
@common
def nginx(options: Common, output: Path, force: bool, **given: Any) -> None:
    """For nginx as a proxy before a gate that runs as a service or in a container."""
    steps = ["sudo install -m 644 tollkeeper.conf /etc/nginx/conf.d/", "sudo nginx -t && sudo systemctl reload nginx"]
    _write("nginx", ["tollkeeper.conf"], _placed(options, given), options, output, force, steps)


@deploy.command()
@_gate_port
@_venv
@_environment
@_user
@_writes
@common
def systemd(options: Common, output: Path, force: bool, **given: Any) -> None:
    """For systemd: the gate as a service that can do little beside its work."""
    values = _placed(options, given)
    steps = [
        *_preparing(values),
        "sudo install -m 644 tollkeeper.service /etc/systemd/system/",
        "sudo systemctl daemon-reload",
        "sudo systemctl enable --now tollkeeper",
    ]
    _write("systemd", ["tollkeeper.service"], values, options, output, force, steps)


@deploy.command()
@_gate_port
@click.option(
    "--environment",
    default="./tollkeeper.env",
    show_default=True,
    callback=_checked(_RELATIVE, "a path of letters, digits and ./@+-_"),
    help="File of NAME=value lines with the providers' keys.",
)
@click.option("--python", default="3.13", show_default=True, callback=_checked(_VERSION, "3.11 or newer"))
@click.option("--uid", type=click.IntRange(1), default=10001, show_default=True, help="User id in the container.")
@_writes
@common
def docker(options: Common, output: Path, force: bool, **given: Any) -> None:
    """For Docker: an image and a compose file, to be built in a checkout of the source."""
    values = _placed(options, given) | {"user": "tollkeeper"}
    names = ["Dockerfile", "compose.yaml", ".dockerignore"]
    elsewhere = not (output / "requirements" / "run.txt").exists()
    steps = [
        *([f"cp {' '.join(names)} CHECKOUT/ && cd CHECKOUT   # the source, which the image is built from"] * elsewhere),
        "touch tollkeeper.toml tollkeeper.env && chmod 600 tollkeeper.env",
        "docker compose up --detach --build --wait",
        "docker compose exec gate tollkeeper keys create --name ada --home " + values["home"],
    ]
    _write("docker", names, values, options, output, force, steps)


def _placed(options: Common, given: dict[str, Any]) -> dict[str, Any]:
    """The templates' values. Raises CallerError where options do not fit each other."""
    home, config = options.home or Path("/var/lib/tollkeeper"), options.config or Path("/etc/tollkeeper.toml")
    for name, path in (("--home", home), ("--config", config)):
        if not _PATH_SAYS_NOTHING_ELSE.fullmatch(str(path)):
            raise click.BadParameter(
                f"expected an absolute path of letters, digits and ./@+-_, found '{path}'.", param_hint=name
            )
    values = {**given, "home": str(home), "config": str(config)}
    if "user" in values:
        values["group"] = values["group"] or values["user"]
    if "certificate" in values:
        if (values["certificate"] is None) != (values["certificate_key"] is None):
            raise click.UsageError("--certificate and --certificate-key go together.")
        values["port"] = values["port"] or (443 if values["certificate"] else 80)
    return values


def _preparing(values: dict[str, Any]) -> list[str]:
    """What must be there before the gate starts: its user, its home, its config and its keys."""
    user, group, home, environment = (values[name] for name in ("user", "group", "home", "environment"))
    return [
        f"id {user} || sudo useradd --system --user-group --home-dir {home} --shell /usr/sbin/nologin {user}",
        f"sudo install -d -m 700 -o {user} -g {group} {home}",
        f"sudo touch {values['config']}",
        f"test -e {environment} || sudo install -m 640 -g {group} /dev/null {environment}",
    ]


def _write(
    target: str, names: list[str], values: dict[str, Any], options: Common, output: Path, force: bool, steps: list[str]
) -> None:
    """All of the files or, where one is there and must stay, none. Raises CallerError."""
    folder = files("tollkeeper.cli") / "deployments" / target
    texts = {name: _TEMPLATES.from_string((folder / name).read_text("utf-8")).render(values) for name in names}
    there = [name for name in names if (output / name).exists()]
    if there and not force:
        raise CallerError(f"{', '.join(there)} in {output} would be overwritten: say --force for that.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (output / name).write_text(text, "utf-8")
    except OSError as error:
        raise CallerError(f"{error.filename}: {error.strerror}.") from None
    written = [str(output / name) for name in names]
    if options.json:
        print_json({"files": written, "run": steps})
        return
    for path in written:
        click.echo(f"Wrote {path}")
    click.echo(f"\nRead {'it' if len(names) == 1 else 'them'}, then run in {output.resolve()}:\n")
    for step in steps:
        click.echo(f"  {step}")
