"""fault-injection at the gate's door."""

from kit.routed import Site


def test_an_abort_with_body_and_headers_where_vars_hold(site: Site) -> None:
    abort = {
        "http_status": 418,
        "body": "no $arg_who",
        "headers": {"x-fault": "yes"},
        "vars": [[["arg_who", "==", "tea"]]],
    }
    path = site.route({"fault-injection": {"abort": abort}})
    status, headers, body = site.ask(path + "?who=tea")
    assert (status, headers["x-fault"], body) == (418, "yes", b"no tea")
    assert site.ask(path + "?who=coffee")[0] == 200


def test_a_share_of_none_and_of_all(site: Site) -> None:
    path = site.route({"fault-injection": {"abort": {"http_status": 500, "percentage": 0}}})
    assert {site.ask(path)[0] for _ in range(5)} == {200}
    path = site.route({"fault-injection": {"abort": {"http_status": 500, "percentage": 100}}})
    assert {site.ask(path)[0] for _ in range(5)} == {500}


def test_a_delay_lets_the_request_pass(site: Site) -> None:
    assert site.ask(site.route({"fault-injection": {"delay": {"duration": 0.01}}}))[0] == 200
    site.refused({"fault-injection": {}})


def test_a_line_break_of_a_client_ends_no_header(site: Site) -> None:
    abort = {"http_status": 418, "headers": {"x-said": "$arg_what"}}
    status, headers, _ = site.ask(site.route({"fault-injection": {"abort": abort}}) + "?what=a%0d%0ax-own:b")
    assert (status, headers["x-said"], "x-own" in headers) == (418, "ax-own:b", False)
