"""A store that is there, and somebody else who looks at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.ledgers import Other
from kit.records import write


@pytest.fixture
def store(home: Path) -> Path:
    """A home with an empty store."""
    write(home, [])
    return home


@pytest.fixture
def other(store: Path) -> Iterator[Other]:
    """Another process's view of it."""
    found = Other(store)
    yield found
    found.close()


@pytest.fixture
def troubles() -> list[str]:
    """What the ledger has complained of."""
    return []
