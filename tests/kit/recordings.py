"""Recorded provider streams: the project's own in tests/fixtures, and those that TOLLKEEPER_RECORDINGS points to."""

import os
from pathlib import Path

import pytest

OWN = Path(__file__).parent.parent / "fixtures"


def recorded(*folders: str) -> list[object]:
    """Parameters for pytest: every `.sse` file in these folders (`openai/chat`), skipped by name where they are absent."""
    root = os.environ.get("TOLLKEEPER_RECORDINGS")
    found: list[object] = []
    for folder in folders:
        paths = sorted((OWN / folder).glob("*.sse"))
        if root:
            paths += sorted((Path(root) / folder).glob("*.sse"))
        found += [pytest.param(path, id=f"{folder}/{path.stem}") for path in paths]
        if not root:
            why = pytest.mark.skip(reason="TOLLKEEPER_RECORDINGS is not set")
            found.append(pytest.param(Path("absent"), id=f"{folder}/recordings", marks=why))
    return found
