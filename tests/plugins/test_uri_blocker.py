"""uri-blocker at the gate's door."""

import json

from kit.routed import Site


def test_a_path_or_query_that_matches_is_refused(site: Site) -> None:
    path = site.route({"uri-blocker": {"block_rules": [r"root\.exe", "union.*select"], "case_insensitive": True}})
    assert site.ask(path + "/ROOT.exe")[0] == 403
    assert site.ask(path + "?q=union%20select")[0] == 403
    assert site.ask(path + "/other")[0] == 200


def test_status_and_words_can_be_set(site: Site) -> None:
    path = site.route({"uri-blocker": {"block_rules": ["x"], "rejected_code": 410, "rejected_msg": "gone"}})
    status, _, body = site.ask(path + "/x")
    assert (status, json.loads(body)) == (410, {"error_msg": "gone"})
