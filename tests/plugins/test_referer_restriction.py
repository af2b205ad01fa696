"""referer-restriction at the gate's door."""

import json

from kit.routed import Site


def test_only_listed_hosts_pass_and_a_star_stands_for_those_below(site: Site) -> None:
    path = site.route({"referer-restriction": {"whitelist": ["shop.example", "*.friends.example"]}})
    assert site.ask(path, referer="https://shop.example/page")[0] == 200
    assert site.ask(path, referer="https://one.friends.example")[0] == 200
    for given in ("https://evil.example/shop.example", "https://shop.example.evil.example", "nonsense"):
        status, _, body = site.ask(path, referer=given)
        assert (status, json.loads(body)) == (403, {"message": "Your referer host is not allowed"})


def test_a_missing_referer_passes_only_where_that_is_said(site: Site) -> None:
    listed = {"blacklist": ["evil.example"]}
    assert site.ask(site.route({"referer-restriction": listed}))[0] == 403
    path = site.route({"referer-restriction": {**listed, "bypass_missing": True}})
    assert site.ask(path)[0] == 200
    assert site.ask(path, referer="https://evil.example")[0] == 403
