"""What every store of keys does alike; that each store does it is in test_key_contract.py."""

import re

import pytest
from msgspec.structs import replace

from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.stores.issuing import living, meant, new_key

NOW_MS = 1_767_225_600_000
GIVEN = {"name": "ada", "team": "red", "budgets": ["5 USD/day"]}


def counted(size: int) -> bytes:
    return bytes(range(size))


def a_key(**changes: object) -> Key:
    return replace(new_key(GIVEN, bytes.upper, NOW_MS, counted)[0], **changes)


def test_a_new_key_has_what_was_given_and_of_its_secret_the_beginning_and_the_digest() -> None:
    key, secret = new_key(GIVEN, bytes.upper, NOW_MS, counted)

    assert re.fullmatch(r"tk-[\w-]{43}", secret)
    assert (key.digest, secret.startswith(key.shown), len(key.shown) < 12) == (secret.encode().upper(), True, True)
    assert (key.id, key.name, key.team, key.created_at) == ("key_0001020304050607", "ada", "red", NOW_MS)
    assert [str(budget.id) for budget in key.budgets] == ["key:key_0001020304050607:usd:day:UTC"]


def test_what_a_key_cannot_have_is_refused() -> None:
    with pytest.raises(CallerError, match="'name'"):
        new_key({"name": " "}, bytes.upper, NOW_MS, counted)


def test_the_key_of_that_id_is_meant_before_keys_of_that_name() -> None:
    one, namesake = a_key(id="key_1"), a_key(id="key_2", name="key_1")

    assert meant([namesake, one], "key_1") is one
    assert meant([one], "ada") is one


@pytest.mark.parametrize(
    ("ids", "status", "code"), [([], 404, "key_not_found"), (["key_1", "key_2"], 409, "key_ambiguous")]
)
def test_none_and_several_are_refused(ids: list[str], status: int, code: str) -> None:
    with pytest.raises(CallerError, match="ada") as refused:
        meant([a_key(id=id) for id in ids], "ada")

    assert (refused.value.status, refused.value.code) == (status, code)
    assert all(id in str(refused.value) for id in ids)


def test_a_revoked_key_stays_as_it_is() -> None:
    assert living(a_key()) == a_key()
    with pytest.raises(CallerError) as refused:
        living(a_key(revoked_at=NOW_MS))

    assert (refused.value.status, refused.value.code) == (409, "key_revoked")
