"""Keys on the embedded store: only a keyed hash is kept, and who may pass is known without asking the disk."""

import contextlib
import hashlib
import hmac
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tollkeeper.core.errors import GateError
from tollkeeper.stores.sqlite.keys import KeyRing, KeyStore, secret_file

NOW = 1_767_225_600.0


class Clock:
    """Unix seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(home: Path, clock: Clock) -> Iterator[KeyStore]:
    found = KeyStore(home, clock, os.urandom)
    yield found
    found.close()


def test_of_a_secret_only_its_keyed_hash_is_stored(home: Path, store: KeyStore) -> None:
    key, secret = store.create("n")

    pepper = (home / "pepper").read_text("ascii").strip()
    assert len(pepper) == 64
    assert key.digest == hmac.new(pepper.encode(), secret.encode(), hashlib.sha256).digest()
    assert store.get(key.id) == key
    for file in home.iterdir():
        assert secret.encode() not in file.read_bytes()


def test_a_copy_of_the_store_without_its_pepper_lets_nobody_in(
    home: Path, store: KeyStore, clock: Clock, tmp_path: Path
) -> None:
    _, secret = store.create("n")
    copy = tmp_path / "copy"
    copy.mkdir()
    with (
        contextlib.closing(sqlite3.connect(home / "tollkeeper.db")) as ours,
        contextlib.closing(sqlite3.connect(copy / "tollkeeper.db")) as theirs,
    ):
        ours.backup(theirs)

    stolen = KeyStore(copy, clock, os.urandom)

    assert len(stolen.list()) == 1
    assert KeyRing(stolen, clock).find(secret.encode()) is None
    stolen.close()


def test_the_ring_keeps_its_keys_while_the_store_cannot_be_read(home: Path, clock: Clock) -> None:
    store = KeyStore(home, clock, os.urandom)
    _, secret = store.create("n")
    ring = KeyRing(store, clock)
    store.close()

    ring.poll()

    assert ring.find(secret.encode())


def test_two_makers_of_a_secret_file_agree_on_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: secret_file(tmp_path / "pepper", lambda: os.urandom(8).hex()), range(64)))

    assert made == {(tmp_path / "pepper").read_text("ascii").strip()}
    assert [path.name for path in tmp_path.iterdir()] == ["pepper"]
    assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_secret_file_without_a_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pepper").write_bytes(content)

    with pytest.raises(GateError, match="pepper"):
        secret_file(tmp_path / "pepper", lambda: "new")
    assert (tmp_path / "pepper").read_bytes() == content
