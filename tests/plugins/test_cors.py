"""cors at the gate's door."""

from kit.routed import Site

ORIGIN = "https://app.example"


def test_a_preflight_is_answered_without_asking_the_upstream(site: Site) -> None:
    path = site.route({"cors": {"allow_headers": "**", "allow_methods": "**", "max_age": 60}})
    before = len(site.upstream.requests)
    status, headers, _ = site.ask(path, "OPTIONS", origin=ORIGIN, access_control_request_headers="x-one")
    assert (status, len(site.upstream.requests)) == (200, before)
    assert headers["access-control-allow-origin"] == "*"
    assert headers["access-control-allow-headers"] == "x-one"
    assert "PATCH" in headers["access-control-allow-methods"]
    assert headers["access-control-max-age"] == "60"


def test_a_listed_origin_is_named_and_another_is_not(site: Site) -> None:
    path = site.route({"cors": {"allow_origins": f"{ORIGIN},https://b.example", "expose_headers": "x-id"}})
    headers = site.ask(path, origin=ORIGIN)[1]
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["access-control-expose-headers"] == "x-id"
    headers = site.ask(path, origin="https://evil.example")[1]
    assert "access-control-allow-origin" not in headers
    assert headers["vary"] == "Origin"


def test_credentials_never_go_with_a_star(site: Site) -> None:
    assert "allow_credential" in site.refused({"cors": {"allow_credential": True}})
    conf = {"allow_origins": "**", "allow_methods": "**", "allow_headers": "**", "allow_credential": True}
    headers = site.ask(site.route({"cors": conf}), origin=ORIGIN)[1]
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["access-control-allow-credentials"] == "true"


def test_origins_by_pattern_and_by_metadata(site: Site) -> None:
    path = site.route({"cors": {"allow_origins_by_regex": [r"^https://.*\.team\.example$"]}})
    assert site.ask(path, origin="https://a.team.example")[1]["access-control-allow-origin"] == "https://a.team.example"
    assert "access-control-allow-origin" not in site.ask(path, origin=ORIGIN)[1]
    site.put("plugin_metadata/cors", {"allow_origins": {"partners": ORIGIN}})
    path = site.route({"cors": {"allow_origins_by_metadata": ["partners"]}})
    assert site.ask(path, origin=ORIGIN)[1]["access-control-allow-origin"] == ORIGIN


def test_origins_that_are_listed_and_those_of_the_metadata_both_count(site: Site) -> None:
    site.put("plugin_metadata/cors", {"allow_origins": {"partners": ORIGIN}})
    conf = {"allow_origins": "https://own.example", "allow_origins_by_metadata": ["partners"]}
    path = site.route({"cors": conf})
    for origin, allowed in ((ORIGIN, ORIGIN), ("https://own.example",) * 2, ("https://evil.example", None)):
        assert site.ask(path, origin=origin)[1].get("access-control-allow-origin") == allowed
