"""What chat is shown has no secret in it."""

import json

from tollkeeper.core.revisions import Change
from tollkeeper.routes.differences import lines
from tollkeeper.routes.hiding import hidden, shown


def test_secrets_are_hidden_and_that_one_changes_is_shown() -> None:
    basic = {"username": "u", "password": "pw-1"}
    before = {"plugins": {"key-auth": {"key": "old-one"}, "basic-auth": basic}}
    after = {"plugins": {"key-auth": {"key": "new-one"}, "basic-auth": basic}}
    said = lines(hidden([Change("consumers", "j", before, after)]))
    assert not any(word in json.dumps(said) for word in ("old-one", "new-one", "pw-1"))
    assert [line.strip()[0] for line in said if "key" in line and line.strip()[0] in "+-"] == ["-", "+"]
    assert shown(before)["plugins"]["basic-auth"] == {"username": "u", "password": "[hidden]"}


def test_a_key_that_is_no_secret_and_the_name_of_one_are_shown() -> None:
    value = {
        "plugins": {"limit-count": {"key": "remote_addr"}, "key-auth": {"key": "$env://KEY"}},
        "upstream": {"type": "chash", "key": "remote_addr"},
    }
    assert shown(value) == value


def test_a_switch_that_is_named_like_a_secret_is_shown() -> None:
    assert shown({"plugins": {"x": {"auth": True, "token": False}}}) == {
        "plugins": {"x": {"auth": True, "token": False}}
    }
