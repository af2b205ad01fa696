"""consumer-restriction at the gate's door."""

import json
from typing import Any

from kit.routed import Site


def route(site: Site, **conf: Any) -> str:
    return site.route({"key-auth": {}, "consumer-restriction": conf})


def test_only_listed_consumers_pass_a_whitelist(site: Site) -> None:
    one = site.consumer({"key-auth": {"key": "cr-one"}})
    site.consumer({"key-auth": {"key": "cr-two"}})
    path = route(site, whitelist=[one])
    assert site.ask(path, apikey="cr-one")[0] == 200
    status, _, body = site.ask(path, apikey="cr-two")
    assert (status, json.loads(body)) == (403, {"message": "The consumer_name is forbidden."})


def test_a_blacklist_refuses_with_words_and_status_of_ones_own(site: Site) -> None:
    one = site.consumer({"key-auth": {"key": "cr-black"}})
    path = route(site, blacklist=[one], rejected_code=451, rejected_msg="no")
    status, _, body = site.ask(path, apikey="cr-black")
    assert (status, json.loads(body)) == (451, {"message": "no"})


def test_methods_are_allowed_by_consumer(site: Site) -> None:
    one = site.consumer({"key-auth": {"key": "cr-methods"}})
    path = route(site, allowed_by_methods=[{"user": one, "methods": ["POST"]}])
    assert site.ask(path, "POST", {}, apikey="cr-methods")[0] == 200
    assert site.ask(path, apikey="cr-methods")[0] == 403


def test_a_request_of_nobody_is_told_so(site: Site) -> None:
    status, _, body = site.ask(site.route({"consumer-restriction": {"whitelist": ["x"]}}))
    words = "The request is rejected, please check the consumer_name for this request"
    assert (status, json.loads(body)) == (401, {"message": words})


def test_a_group_can_be_what_is_listed(site: Site) -> None:
    site.put("consumer_groups/staff", {"plugins": {}})
    site.consumer({"key-auth": {"key": "cr-staff"}}, group_id="staff")
    path = route(site, type="consumer_group_id", whitelist=["staff"])
    assert site.ask(path, apikey="cr-staff")[0] == 200
