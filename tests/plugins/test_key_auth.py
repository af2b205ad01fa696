"""key-auth, through the gate's port."""

import json
from collections.abc import Iterator

import pytest

from kit.gate import GateProcess, request, running_gate
from kit.routed import Site

CONFIG = """
[consumers.jack]
plugins = { key-auth = { key = "$env://JACKS_KEY" } }

[consumers.guest]

[consumers.ada]

[routes.keyed]
uri = "/keyed"
plugins.key-auth = { realm = "the club" }
plugins.mocking = { response_example = "$consumer_name $http_apikey $args", content_type = "text/plain" }

[routes.hidden]
uri = "/hidden"
plugins.key-auth = { hide_credentials = true }
plugins.mocking = { response_example = "$consumer_name $http_apikey $args", content_type = "text/plain" }

[routes.open]
uri = "/open"
plugins.key-auth = { anonymous_consumer = "guest" }
plugins.mocking = { response_example = "$consumer_name", content_type = "text/plain" }
"""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("keyed"), CONFIG, {"JACKS_KEY": "auth-one"}) as running:
        yield running


def test_a_key_is_taken_from_the_header_and_from_the_query(keyed: GateProcess) -> None:
    assert request("GET", f"{keyed.url}/keyed", {"apikey": "auth-one"})[2] == b"jack auth-one "
    assert request("GET", f"{keyed.url}/keyed?apikey=auth-one&x=1", {})[2] == b"jack  apikey=auth-one&x=1"


def test_the_key_is_hidden_where_it_came_from(keyed: GateProcess) -> None:
    assert request("GET", f"{keyed.url}/hidden", {"apikey": "auth-one"})[2] == b"jack  "
    assert request("GET", f"{keyed.url}/hidden?apikey=auth-one&x=1", {})[2] == b"jack  x=1"


def test_what_is_not_hidden_stays_as_it_was_sent(keyed: GateProcess) -> None:
    sent = "a=%FF&b=x%20y+z&&c&api%6Bey=auth-one&d=%c3%a9"
    status, _, body = request("GET", f"{keyed.url}/hidden?{sent}", {})
    assert (status, body.strip()) == (200, b"jack  a=%FF&b=x%20y+z&&c&d=%c3%a9")


def test_a_key_may_have_letters_of_any_alphabet(site: Site) -> None:
    name = site.consumer({"key-auth": {"key": "ключ"}})
    path = site.route({"key-auth": {}})
    told = site.told(path, apikey="ключ".encode().decode("latin-1"))
    assert told["headers"]["x-consumer-username"] == name


def test_who_has_no_key_is_told_how_to_bring_one(keyed: GateProcess) -> None:
    status, headers, body = request("GET", f"{keyed.url}/keyed", {})

    assert (status, json.loads(body)) == (401, {"message": "Missing API key in request"})
    assert headers["www-authenticate"] == 'apikey realm="the club"'


def test_who_has_no_key_may_be_somebody_all_the_same(keyed: GateProcess) -> None:
    assert request("GET", f"{keyed.url}/open", {})[2] == b"guest"


def test_a_key_of_the_model_endpoints_is_its_namesake_s(keyed: GateProcess) -> None:
    ada, other = keyed.new_key(name="ada"), keyed.new_key(name="nobody")

    assert request("GET", f"{keyed.url}/hidden", {"apikey": ada})[2] == b"ada  "
    assert request("GET", f"{keyed.url}/hidden", {"apikey": other})[0] == 401


def test_no_upstream_is_shown_a_key_that_spends_money(site: Site) -> None:
    name = site.consumer({"key-auth": {"key": "its own"}})
    key = site.gate.new_key(name=name)
    path = site.route({"key-auth": {"hide_credentials": False}})

    encoded = "".join(f"%{ord(letter):02X}" for letter in key)
    for told in (
        site.told(path + "?x=1", apikey=key),
        site.told(f"{path}?apikey={key}&x=1"),
        site.told(f"{path}?x=1&apikey={encoded}"),
    ):
        assert key not in json.dumps(told)
        assert (told["query"], told["headers"]["x-consumer-username"]) == ("x=1", name)
    assert site.told(path, apikey="its own")["headers"]["apikey"] == "its own"


def test_a_reference_to_no_secret_lets_nobody_in(site: Site) -> None:
    site.consumer({"key-auth": {"key": "$env://NOT_SET_ANYWHERE"}})
    assert site.ask(site.route({"key-auth": {}}), apikey="$env://NOT_SET_ANYWHERE")[0] == 401
    path = site.route({"csrf": {"key": "$env://NOT_SET_ANYWHERE"}})
    status, _, body = site.ask(path)
    assert (status, json.loads(body)["code"]) == (503, "route_incomplete")
