"""uri-blocker at the gate's door."""

import json

from kit.routed import Site


def test_a_path_or_query_that_matches_is_refused(site: Site) -> None:
    path = site.route({"uri-blocker": {"block_rules": [r"root\.exe", "union.*select"], "case_insensitive": True}})
    assert site.ask(path + "/ROOT.exe")[0] == 403
    assert site.ask(path + "?q=union%20select")[0] == 403
    assert site.ask(path + "/other")[0] == 200


def test_a_pattern_that_would_take_too_long_refuses_and_holds_nobody_up(site: Site) -> None:
    slow = site.route({"uri-blocker": {"block_rules": ["(a|aa)+$"]}})
    other = site.route({})
    status, _, body = site.ask(slow + "/" + "a" * 200 + "!")
    assert (status, json.loads(body)["code"]) == (400, "pattern_undecided")
    assert site.ask(other)[0] == 200
    assert site.ask(slow + "/b")[0] == 200
    ruled = site.route({}, vars=[["uri", "~~", "(a|aa)+!?$"], ["arg_x", "==", "1"]])
    assert site.ask(ruled + "/" + "a" * 200 + "b")[0] == 400


def test_status_and_words_can_be_set(site: Site) -> None:
    path = site.route({"uri-blocker": {"block_rules": ["x"], "rejected_code": 410, "rejected_msg": "gone"}})
    status, _, body = site.ask(path + "/x")
    assert (status, json.loads(body)) == (410, {"error_msg": "gone"})
