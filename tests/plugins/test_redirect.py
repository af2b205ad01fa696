"""redirect at the gate's door."""

import http.client

from kit.routed import Site


def ask(site: Site, path: str, method: str = "GET", **headers: str) -> tuple[int, str | None]:
    """Status and Location, not followed."""
    connection = http.client.HTTPConnection("127.0.0.1", site.gate.port, timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): each for name, each in headers.items()})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.getheader("location")


def test_a_uri_with_variables(site: Site) -> None:
    path = site.route({"redirect": {"uri": "/new$uri?from=$arg_a", "ret_code": 308}})
    assert ask(site, path + "/x?a=1") == (308, f"/new{path}/x?from=1")


def test_a_pattern_over_the_path_and_the_query_appended(site: Site) -> None:
    plugin = {"regex_uri": ["^/(r[0-9]+)/(.*)$", "https://other.example/$2/$1"], "append_query_string": True}
    path = site.route({"redirect": plugin})
    assert ask(site, path + "/page?b=2") == (302, f"https://other.example/page{path}?b=2")
    assert ask(site, path)[0] == 200


def test_to_https_with_the_status_that_keeps_the_method(site: Site) -> None:
    path = site.route({"redirect": {"http_to_https": True}})
    assert ask(site, path + "?a=1", host="site.example") == (301, f"https://site.example{path}?a=1")
    assert ask(site, path + "/a%3Fb%20c?d=%3F", host="a.b") == (301, f"https://a.b{path}/a%3Fb%20c?d=%3F")
    assert ask(site, path, "POST", host="site.example")[0] == 308
    assert ask(site, path, x_forwarded_proto="https")[0] == 200


def test_a_line_break_in_a_value_does_not_reach_the_header(site: Site) -> None:
    path = site.route({"redirect": {"uri": "/to/$arg_next"}})
    assert ask(site, path + "?next=a%0d%0aset-cookie:%20b=1") == (302, "/to/a%0D%0Aset-cookie:%20b=1")


def test_a_path_that_is_no_text_is_passed_on(site: Site) -> None:
    path = site.route({"redirect": {"regex_uri": ["/r\\d+/(.*)", "/to/$1$2"]}})
    assert ask(site, path + "/a%ff%00") == (302, "/to/a%FF%00")
