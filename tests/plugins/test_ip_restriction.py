"""ip-restriction at the gate's door."""

import json

from kit.routed import Site


def test_an_address_outside_of_the_whitelist_is_refused_in_the_configured_words(site: Site) -> None:
    path = site.route({"ip-restriction": {"whitelist": ["10.0.0.0/8"], "message": "not you"}})
    status, _, body = site.ask(path)
    assert (status, json.loads(body)) == (403, {"message": "not you"})


def test_an_address_inside_of_a_listed_network_passes(site: Site) -> None:
    assert site.ask(site.route({"ip-restriction": {"whitelist": ["127.0.0.0/8"]}}))[0] == 200


def test_a_blacklisted_address_is_refused_with_the_configured_status(site: Site) -> None:
    path = site.route({"ip-restriction": {"blacklist": ["127.0.0.1"], "response_code": 404}})
    status, _, body = site.ask(path)
    assert (status, json.loads(body)) == (404, {"message": "Your IP address is not allowed"})


def test_what_is_no_address_is_refused_by_name(site: Site) -> None:
    assert site.refused({"ip-restriction": {"whitelist": ["10.0.0.300"]}}).endswith("invalid ip address: 10.0.0.300")
    assert "matches none" in site.refused({"ip-restriction": {}})
