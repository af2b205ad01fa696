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

from tollkeeper.core.errors import CallerError, GateError
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


@pytest.fixture
def elsewhere(home: Path, clock: Clock, store: KeyStore) -> Iterator[KeyStore]:
    """Another process's connection to the same keys."""
    found = KeyStore(home, clock, os.urandom)
    yield found
    found.close()


@pytest.fixture
def ring(store: KeyStore, clock: Clock) -> KeyRing:
    return KeyRing(store, clock)


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


def test_a_secret_has_256_bits_and_no_two_are_alike(store: KeyStore) -> None:
    drawn: list[int] = []

    def randomness(count: int) -> bytes:
        drawn.append(count)
        return os.urandom(count)

    store._randomness = randomness
    secrets = {store.create("n")[1] for _ in range(100)}

    assert len(secrets) == 100
    assert {len(secret) for secret in secrets} == {46}
    assert drawn.count(32) == 100


def test_the_ring_finds_a_key_by_its_whole_secret_only(store: KeyStore, ring: KeyRing) -> None:
    key, secret = store.create("n")
    ring.refresh()

    assert ring.find(secret.encode()) == key
    near = (secret[:-1], secret + "a", secret.swapcase(), key.id, key.shown, "é")
    for wrong in (b"", b"tk-", key.digest, b"\xff" * 46, *map(str.encode, near)):
        assert ring.find(wrong) is None


def test_a_key_ends_when_it_expires_is_revoked_or_rotated(store: KeyStore, ring: KeyRing, clock: Clock) -> None:
    _, expiring = store.create("expiring", expires_at=int(NOW * 1000) + 5000)
    _, revoked = store.create("revoked")
    _, rotated = store.create("rotated")
    ring.refresh()
    assert all(ring.find(secret.encode()) for secret in (expiring, revoked, rotated))

    clock.now = NOW + 4.999
    assert ring.find(expiring.encode())
    clock.now = NOW + 5
    assert ring.find(expiring.encode()) is None
    store.revoke("revoked")
    _, fresh = store.rotate("rotated")
    ring.refresh()

    assert ring.find(revoked.encode()) is None
    assert ring.find(rotated.encode()) is None
    assert ring.find(fresh.encode())


def test_what_another_process_changed_is_known_after_a_look(
    store: KeyStore, elsewhere: KeyStore, ring: KeyRing
) -> None:
    ring.poll()
    _, secret = elsewhere.create("n")
    assert ring.find(secret.encode()) is None

    ring.poll()
    assert ring.find(secret.encode())
    elsewhere.revoke("n")
    ring.poll()

    assert ring.find(secret.encode()) is None


def test_the_ring_keeps_its_keys_while_the_store_cannot_be_read(home: Path, clock: Clock) -> None:
    store = KeyStore(home, clock, os.urandom)
    _, secret = store.create("n")
    ring = KeyRing(store, clock)
    store.close()

    ring.poll()

    assert ring.find(secret.encode())


def test_a_revocation_keeps_its_first_moment(store: KeyStore, clock: Clock) -> None:
    store.create("n")
    first = store.revoke("n")
    clock.now += 100

    assert store.revoke("n") == first
    assert first.revoked_at == int(NOW * 1000)


def test_models_and_all_else_come_back_as_given(store: KeyStore) -> None:
    given = store.create("n é", owner="o", team="t", models=["a", "b*", "ü/☃"], expires_at=int(NOW * 1000) + 1)[0]
    none = store.create("n", models=[])[0]

    assert store.list() == [given, none]
    assert given.models == ("a", "b*", "ü/☃")
    assert none.models == ()


def test_a_newer_key_does_not_shadow_an_older_ones_id(store: KeyStore) -> None:
    first = store.create("n")[0]
    store.create(first.id)
    store.create(first.id)

    assert store.get(first.id) == first
    with pytest.raises(CallerError) as refused:
        store.get("nobody" * 100)
    assert refused.value.status == 404
    assert len(refused.value.message) < 120


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
