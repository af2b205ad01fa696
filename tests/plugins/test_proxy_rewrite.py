"""proxy-rewrite at the gate's door."""

from kit.routed import Site


def test_uri_method_and_host_are_what_is_said(site: Site) -> None:
    conf = {"uri": "/new/$arg_a?b=2", "method": "POST", "host": "other.example"}
    told = site.told(site.route({"proxy-rewrite": conf}) + "?a=1")
    assert (told["method"], told["path"], told["query"]) == ("POST", "/new/1", "b=2&a=1")
    assert told["headers"]["host"] == "other.example"


def test_the_first_pattern_that_matches_makes_the_path_and_headers(site: Site) -> None:
    rules = ["^/r[0-9]+/v1/(.*)$", "/one/$1", "^/r[0-9]+/(.*)$", "/two/${1}"]
    conf = {"regex_uri": rules, "headers": {"set": {"x-rest": "$1", "x-from": "$remote_addr"}}}
    path = site.route({"proxy-rewrite": conf})
    told = site.told(path + "/v1/a?q=1")
    assert (told["path"], told["query"], told["headers"]["x-rest"]) == ("/one/a", "q=1", "a")
    assert told["headers"]["x-from"] == "127.0.0.1"
    assert site.told(path + "/b")["path"] == "/two/b"


def test_headers_are_added_set_and_removed(site: Site) -> None:
    conf = {"headers": {"add": {"x-a": "2"}, "set": {"x-b": "new"}, "remove": ["x-c"]}}
    headers = site.told(site.route({"proxy-rewrite": conf}), x_a="1", x_b="old", x_c="gone")["headers"]
    assert (headers["x-a"], headers["x-b"]) == ("2", "new")  # the scripted upstream shows the last of a name
    assert "x-c" not in headers


def test_what_a_client_sends_is_never_filled_or_split(site: Site) -> None:
    path = site.route({"proxy-rewrite": {"regex_uri": ["^/r[0-9]+/(.*)$", "/x/$1"]}})
    told = site.told(path + "/$remote_addr%3Fadmin=1")
    assert (told["path"], told["query"]) == ("/x/$remote_addr%3Fadmin=1", "")
    path = site.route({"proxy-rewrite": {"headers": {"x-a": "$arg_a"}}})
    assert site.told(path + "?a=1%0d%0ax-evil:%201")["headers"]["x-a"] == "1x-evil: 1"


def test_patterns_come_in_pairs(site: Site) -> None:
    words = site.refused({"proxy-rewrite": {"regex_uri": ["a", "b", "c"]}})
    assert words.endswith("The length of regex_uri should be an even number")


def test_another_method_upstream_changes_nothing_in_how_the_client_is_answered(site: Site) -> None:
    path = site.route({"proxy-rewrite": {"method": "HEAD"}})
    status, headers, body = site.ask(path)
    assert (status, headers["content-length"], body) == (200, "0", b"")
    assert site.upstream.requests[-1].method == "HEAD"
    path = site.route({"proxy-rewrite": {"method": "POST"}})
    status, headers, body = site.ask(path, "HEAD")
    assert (status, int(headers["content-length"]) > 0, body) == (200, True, b"")
    assert site.upstream.requests[-1].method == "POST"


def test_a_line_break_in_a_header_is_refused(site: Site) -> None:
    for headers in ({"x-a": "1\r\nx-b: 2"}, {"add": {"x-a": "1\n"}}):
        assert "invalid value character in header" in site.refused({"proxy-rewrite": {"headers": headers}})


def test_a_variable_behind_a_backslash_stays_as_it_is(site: Site) -> None:
    told = site.told(site.route({"proxy-rewrite": {"headers": {"x-a": "$scheme \\$scheme"}}}))
    assert told["headers"]["x-a"] == "http \\$scheme"
