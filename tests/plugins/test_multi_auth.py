"""multi-auth at the gate's door."""

import base64
import json

from kit.routed import Site

EITHER = {"multi-auth": {"auth_plugins": [{"basic-auth": {}}, {"key-auth": {"header": "x-key"}}]}}


def test_one_of_the_plugins_is_enough(site: Site) -> None:
    site.consumer({"basic-auth": {"username": "multi", "password": "pw"}})
    keyed = site.consumer({"key-auth": {"key": "multi-key"}})
    path = site.route(EITHER)
    basic = "Basic " + base64.b64encode(b"multi:pw").decode()
    assert site.ask(path, authorization=basic)[0] == 200
    assert site.told(path, x_key="multi-key")["headers"]["x-consumer-username"] == keyed


def test_without_any_the_answer_names_every_way(site: Site) -> None:
    status, headers, body = site.ask(site.route(EITHER), x_key="wrong")
    assert (status, json.loads(body)) == (401, {"message": "Authorization Failed"})
    assert "www-authenticate" in headers


def test_a_plugin_that_does_not_authenticate_is_refused(site: Site) -> None:
    words = site.refused({"multi-auth": {"auth_plugins": [{"key-auth": {}}, {"cors": {}}]}})
    assert words.endswith("cors plugin is not supported")
