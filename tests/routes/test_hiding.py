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


def test_what_plugins_say_to_others_of_who_asks_is_hidden() -> None:
    plugins = {
        "http-logger": {"uri": "https://logs.example/in?token=s3c1&level=1", "auth_header": "s3c2"},
        "proxy-rewrite": {"headers": {"set": {"Authorization": "Bearer s3c3", "X-Api-Key": "s3c4", "X-Plain": "seen"}}},
        "response-rewrite": {"headers": {"add": ["Set-Cookie: a=s3c5", "X-Plain: seen"]}},
        "forward-auth": {"uri": "http://user:s3c6@auth.example/x", "request_headers": ["Authorization"]},
        "limit-count": {"redis_password": "s3c7", "key": "http_authorization"},
        "ai-proxy-multi": {"semantic_opts": {"embeddings": {"auth": {"header": {"Authorization": "Bearer s3c0"}}}}},
        "openid-connect": {"client_secret": "s3c8", "set_access_token_header": True, "session": {"secret": "s3c9"}},
    }

    said = shown(plugins)

    assert "s3c" not in json.dumps(said)
    assert said["http-logger"]["uri"] == "https://logs.example/in?token=[hidden]&level=1"
    assert said["forward-auth"] == {"uri": "http://[hidden]@auth.example/x", "request_headers": ["Authorization"]}
    assert said["proxy-rewrite"]["headers"]["set"]["X-Plain"] == "seen"
    assert said["response-rewrite"]["headers"]["add"] == ["Set-Cookie: [hidden]", "X-Plain: seen"]
    assert said["limit-count"]["key"] == "http_authorization"
    assert said["openid-connect"]["set_access_token_header"] is True


def test_that_a_secret_in_an_address_changes_is_shown() -> None:
    before, after = ({"plugins": {"x": {"uri": f"https://u:{each}@logs.example/"}}} for each in ("s3c1", "s3c2"))

    said = lines(hidden([Change("routes", "r", before, after)]))

    assert "s3c" not in json.dumps(said)
    assert any("[hidden, another]" in line for line in said)


def test_an_address_without_secrets_and_a_path_are_shown_as_they_are() -> None:
    value = {"uri": "/x?key=$arg_key", "plugins": {"redirect": {"uri": "https://a.example/b?next=$arg_key#c@d"}}}
    assert shown(value) == value
