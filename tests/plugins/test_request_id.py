"""request-id at the gate's door."""

import re

import pytest

from kit.routed import Site


@pytest.mark.parametrize(
    ("algorithm", "pattern"),
    [
        ("uuid", r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("uuidv7", r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("nanoid", r"[\w-]{21}"),
        ("ksuid", r"[0-9A-Za-z]{27}"),
        ("range_id", r"[0-9A-Za-z]{16}"),
    ],
)
def test_an_id_of_each_kind_is_seen_by_upstream_and_client(site: Site, algorithm: str, pattern: str) -> None:
    path = site.route({"request-id": {"header_name": "X-Trace", "algorithm": algorithm}})
    told = site.told(path)["headers"]["x-trace"]
    assert re.fullmatch(pattern, told)
    assert site.ask(path)[1]["x-trace"] != told


def test_the_clients_own_id_is_kept(site: Site) -> None:
    path = site.route({"request-id": {"header_name": "X-Trace", "include_in_response": False}})
    assert site.told(path, x_trace="mine")["headers"]["x-trace"] == "mine"
    assert "x-trace" not in site.ask(path, x_trace="mine")[1]
