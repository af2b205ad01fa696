"""Reads a file of NAME=value lines, as systemd's EnvironmentFile has them: it keeps keys out of commands and configs."""

from pathlib import Path

from tollkeeper.core.errors import ConfigError


def read(path: Path) -> dict[str, str]:
    """The file's variables. Raises ConfigError where it cannot be read, or has a line that says nothing."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read: {error}."]) from None
    found: dict[str, str] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(("#", ";")):
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            problems.append(f"{path}:{number}: expected NAME=value.")  # the line may be a secret: it is not repeated
            continue
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[name] = value
    if problems:
        raise ConfigError(problems)
    return found
