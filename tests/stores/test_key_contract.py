"""The contract of key stores, over every store; and the ring, which knows who may pass without asking one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.dynamodb import blocking, moto, new_place
from tollkeeper.core.errors import CallerError
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
from tollkeeper.stores.sqlite.keys import KeyRing, KeyStore

NOW = 1_767_225_600.0
PEPPER = "p" * 64


class Clock:
    """Unix seconds, moved by the test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture(params=["sqlite", "dynamodb"])
def both(request: pytest.FixtureRequest, home: Path, clock: Clock) -> Iterator[tuple[KeyStore | DynamoKeyStore, ...]]:
    """Two connections to the same keys, as two processes have them."""
    if request.param == "sqlite":
        stores: tuple[KeyStore | DynamoKeyStore, ...] = tuple(KeyStore(home, clock, os.urandom) for _ in range(2))
    else:
        place = new_place(request.getfixturevalue("url"))
        stores = tuple(DynamoKeyStore(blocking(place), PEPPER, clock, os.urandom) for _ in range(2))
    yield stores
    for store in stores:
        store.close()


@pytest.fixture
def store(both: tuple[KeyStore | DynamoKeyStore, ...]) -> KeyStore | DynamoKeyStore:
    return both[0]


@pytest.fixture
def elsewhere(both: tuple[KeyStore | DynamoKeyStore, ...]) -> KeyStore | DynamoKeyStore:
    """Another process's connection to the same keys."""
    return both[1]


@pytest.fixture
def ring(store: KeyStore | DynamoKeyStore, clock: Clock) -> KeyRing:
    return KeyRing(store, clock)


def test_a_secret_has_256_bits_and_no_two_are_alike(store: KeyStore | DynamoKeyStore) -> None:
    drawn: list[int] = []

    def randomness(count: int) -> bytes:
        drawn.append(count)
        return os.urandom(count)

    store._randomness = randomness
    secrets = {store.create("n")[1] for _ in range(20)}

    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {46}
    assert drawn.count(32) == 20


def test_the_ring_finds_a_key_by_its_whole_secret_only(store: KeyStore | DynamoKeyStore, ring: KeyRing) -> None:
    key, secret = store.create("n")
    ring.refresh()

    assert ring.find(secret.encode()) == key
    near = (secret[:-1], secret + "a", secret.swapcase(), key.id, key.shown, "é")
    for wrong in (b"", b"tk-", key.digest, b"\xff" * 46, *map(str.encode, near)):
        assert ring.find(wrong) is None


def test_a_key_ends_when_it_expires_is_revoked_or_rotated(
    store: KeyStore | DynamoKeyStore, ring: KeyRing, clock: Clock
) -> None:
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
    store: KeyStore | DynamoKeyStore, elsewhere: KeyStore | DynamoKeyStore, ring: KeyRing
) -> None:
    ring.poll()
    _, secret = elsewhere.create("n")
    assert ring.find(secret.encode()) is None

    ring.poll()
    assert ring.find(secret.encode())
    elsewhere.revoke("n")
    ring.poll()

    assert ring.find(secret.encode()) is None


def test_a_revocation_keeps_its_first_moment(store: KeyStore | DynamoKeyStore, clock: Clock) -> None:
    store.create("n")
    first = store.revoke("n")
    clock.now += 100

    assert store.revoke("n") == first
    assert first.revoked_at == int(NOW * 1000)


def test_models_and_all_else_come_back_as_given_the_oldest_first(
    store: KeyStore | DynamoKeyStore, clock: Clock
) -> None:
    given = store.create("n é", owner="o", team="t", models=["a", "b*", "ü/☃"], expires_at=int(NOW * 1000) + 1)[0]
    clock.now += 1
    none = store.create("n", models=[])[0]

    assert store.list() == [given, none]
    assert given.models == ("a", "b*", "ü/☃")
    assert none.models == ()


def test_a_newer_key_does_not_shadow_an_older_ones_id(store: KeyStore | DynamoKeyStore) -> None:
    first = store.create("n")[0]
    store.create(first.id)
    store.create(first.id)

    assert store.get(first.id) == first
    with pytest.raises(CallerError) as refused:
        store.get("nobody" * 100)
    assert refused.value.status == 404
    assert len(refused.value.message) < 120


def test_a_key_is_found_by_its_id_or_by_a_name_that_only_one_has(store: KeyStore | DynamoKeyStore) -> None:
    ada = store.create("ada")[0]
    store.create("bob")
    store.create("bob")

    assert store.get("ada") == store.get(ada.id) == ada
    with pytest.raises(CallerError, match="2 keys are named"):
        store.get("bob")
    with pytest.raises(CallerError, match="no key"):
        store.get("eve")


def test_what_is_changed_of_a_key_is_changed_for_everybody_and_nothing_else_is(
    store: KeyStore | DynamoKeyStore, elsewhere: KeyStore | DynamoKeyStore
) -> None:
    before = store.create("ada", owner="a", team="red", models=["m"])[0]
    seen = elsewhere.changes()

    after = store.change("ada", {"team": "blue"})

    assert (after.team, after.owner, after.models, after.digest) == ("blue", "a", ("m",), before.digest)
    assert elsewhere.get("ada") == after
    assert elsewhere.changes() != seen
