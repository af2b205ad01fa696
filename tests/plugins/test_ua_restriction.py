"""ua-restriction at the gate's door."""

import json

from kit.routed import Site


def test_a_denied_agent_is_refused_and_others_pass(site: Site) -> None:
    path = site.route({"ua-restriction": {"denylist": ["(?i)bot"], "message": "no bots"}})
    status, _, body = site.ask(path, user_agent="SomeBot/1")
    assert (status, json.loads(body)) == (403, {"message": "no bots"})
    assert site.ask(path, user_agent="curl/8")[0] == 200


def test_only_allowed_agents_pass_an_allowlist(site: Site) -> None:
    path = site.route({"ua-restriction": {"allowlist": ["^ours/"]}})
    assert site.ask(path, user_agent="ours/2")[0] == 200
    assert json.loads(site.ask(path, user_agent="theirs/2")[2]) == {"message": "Not allowed"}


def test_a_pattern_that_is_none_is_refused(site: Site) -> None:
    assert "invalid regular expression" in site.refused({"ua-restriction": {"denylist": ["("]}})
