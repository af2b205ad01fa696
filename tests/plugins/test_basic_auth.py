"""basic-auth at the gate's door."""

import base64
import json

from kit.routed import Site


def credentials(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_consumer_is_known_by_name_and_password_and_the_upstream_is_told(site: Site) -> None:
    consumer = site.consumer({"basic-auth": {"username": "ada", "password": "s:e cret"}})
    path = site.route({"basic-auth": {"hide_credentials": True}})
    told = site.told(path, authorization=credentials("ada", "s:e cret"), x_consumer_username="somebody")
    assert told["headers"]["x-consumer-username"] == consumer
    assert "authorization" not in told["headers"]


def test_each_mistake_has_its_words_and_a_challenge(site: Site) -> None:
    site.consumer({"basic-auth": {"username": "bob", "password": "right"}})
    path = site.route({"basic-auth": {"realm": "here"}})
    for given, words in (
        ({}, "Missing authorization in request"),
        ({"authorization": "Basic !!"}, "Invalid authorization in request"),
        ({"authorization": "Bearer abc"}, "Invalid authorization in request"),
        ({"authorization": credentials("bob", "wrong")}, "Invalid user authorization"),
        ({"authorization": credentials("nobody", "right")}, "Invalid user authorization"),
    ):
        status, headers, body = site.ask(path, **given)
        assert (status, json.loads(body)) == (401, {"message": words})
        assert headers["www-authenticate"] == 'Basic realm="here"'


def test_an_anonymous_consumer_stands_in(site: Site) -> None:
    anonymous = site.consumer({})
    told = site.told(site.route({"basic-auth": {"anonymous_consumer": anonymous}}))
    assert told["headers"]["x-consumer-username"] == anonymous


def test_a_realm_stays_between_its_quotes(site: Site) -> None:
    headers = site.ask(site.route({"basic-auth": {"realm": 'a"\\\r\nx-own: b'}}))[1]
    assert (headers["www-authenticate"], "x-own" in headers) == ('Basic realm="ax-own: b"', False)


def test_an_anonymous_consumer_that_is_not_there_lets_nobody_in(site: Site) -> None:
    path = site.route({"basic-auth": {"anonymous_consumer": "nobody_of_that_name"}})
    assert site.ask(path)[::2] == (401, b'{"message":"Invalid user authorization"}\n')
