"""grpc-transcode against a real gRPC server."""

import json
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory

from kit.routed import Site
from tollkeeper.routes import grpc_calls

PROTO = """
syntax = "proto3";
package conference;
enum Level { BEGINNER = 0; EXPERT = 1; }
message Asked { string name = 1; int32 count = 2; bool loud = 3; repeated string tags = 4; Level level = 5; }
message Said { string words = 1; int64 total = 2; Level level = 3; repeated Part parts = 4; }
message Part { string tag = 1; uint64 size = 2; }
service Greeter {
  rpc Greet (Asked) returns (Said);
  rpc Babble (Asked) returns (Said);
  rpc Watch (Asked) returns (stream Said);
}
"""


class Greeter(grpc.GenericRpcHandler):
    """Serves the proto above without generated code."""

    def __init__(self) -> None:
        self.awake = threading.Event()
        pool = descriptor_pool.DescriptorPool()
        for file in grpc_calls._files(PROTO).file:
            pool.Add(file)
        find = pool.FindMessageTypeByName
        self.asked, self.said = (
            message_factory.GetMessageClass(find(f"conference.{name}")) for name in ("Asked", "Said")
        )

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        write = {
            "/conference.Greeter/Greet": lambda message: message.SerializeToString(),
            "/conference.Greeter/Babble": lambda message: b"\xff\xff",
        }.get(handler_call_details.method)
        if write is None:
            return None
        return grpc.unary_unary_rpc_method_handler(self.greet, self.asked.FromString, write)

    def greet(self, asked: Any, context: grpc.ServicerContext) -> Any:
        if asked.name == "nobody":
            context.abort(grpc.StatusCode.NOT_FOUND, "there is nobody")
        if asked.name == "unsaid":
            context.abort(grpc.StatusCode.NOT_FOUND, "100% ☃\n\0")
        if asked.name == "who":
            context.send_initial_metadata((("x-from", "greeter"),))
            return self.said(words=json.dumps(dict(context.invocation_metadata())))
        if asked.name == "large":
            return self.said(words="x" * asked.count)
        if asked.name == "asleep":
            context.add_callback(self.awake.set)
            assert self.awake.wait(30)
        if asked.name == "slow":
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "too late")
        words = f"hello {asked.name}"
        said = self.said(words=words.upper() if asked.loud else words, total=2**53 + asked.count, level=asked.level)
        for tag in asked.tags:
            said.parts.add(tag=tag, size=len(tag))
        return said


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Greeter(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def route(site: Site, *nodes: str, upstream: dict[str, Any] | None = None, **more: Any) -> str:
    site.put("protos/greeter", {"content": PROTO})
    conf = {"proto_id": "greeter", "service": "conference.Greeter", "method": "Greet", **more}
    of = {"nodes": dict.fromkeys(nodes, 1), "type": "roundrobin", "scheme": "grpc", **(upstream or {})}
    return site.route({"grpc-transcode": conf}, upstream=of)


def test_fields_come_from_the_query(site: Site, node: str) -> None:
    told = site.told(route(site, node) + "?name=Ada&count=1&loud=true&unknown=1")
    assert told == {"words": "HELLO ADA", "total": 2**53 + 1, "level": "BEGINNER", "parts": []}


def test_fields_come_from_a_json_body_and_options_shape_the_answer(site: Site, node: str) -> None:
    path = route(site, node, pb_option=["enum_as_value", "int64_as_string", "no_default_values"])
    asked = {"name": "Ada", "tags": ["a", "bb"], "level": "EXPERT"}
    told = site.told(path, "POST", asked)
    assert told == {
        "words": "hello Ada",
        "total": str(2**53),
        "level": 1,
        "parts": [{"tag": "a", "size": "1"}, {"tag": "bb", "size": "2"}],
    }


def test_a_servers_refusal_has_its_http_status(site: Site, node: str) -> None:
    status, headers, body = site.ask(route(site, node, show_status_in_body=True) + "?name=nobody")
    assert (status, headers["grpc-status"], headers["grpc-message"]) == (404, "5", "there is nobody")
    assert json.loads(body)["error"]["message"] == "there is nobody"
    assert site.ask(route(site, node) + "?name=slow")[0] == 504


def test_a_body_that_does_not_fit_is_the_callers_mistake(site: Site, node: str) -> None:
    path = route(site, node)
    assert site.ask(path, "POST", {"count": "many"})[0] == 400
    for body in (b"{", b'{"name":"\xff"}', b"[" * 100_000, b'{"name":' * 300 + b"1" + b"}" * 300):
        assert site.ask(path, "POST", body)[0] == 400, body[:20]


def test_a_proto_or_method_that_is_not_there_is_said(site: Site, node: str) -> None:
    for more, words in (
        ({"proto_id": "gone"}, b"failed to fetch proto by id gone"),
        ({"method": "Other"}, b"Undefined service method"),
        ({"method": "Watch"}, b"streams"),
    ):
        status, _, body = site.ask(route(site, node, **more))
        assert status == 503
        assert words in body


def test_a_node_that_is_away_is_a_503(site: Site) -> None:
    assert site.ask(route(site, "127.0.0.1:1"))[0] == 503


def test_of_a_repeated_field_each_argument_counts_and_of_others_the_last(site: Site, node: str) -> None:
    told = site.told(route(site, node) + "?name=Bob&name=Ada&tags=a&tags=bb")
    assert (told["words"], [part["tag"] for part in told["parts"]]) == ("hello Ada", ["a", "bb"])
    assert [part["tag"] for part in site.told(route(site, node) + "?tags=one")["parts"]] == ["one"]


def test_headers_go_both_ways_but_for_those_of_the_connection(site: Site, node: str) -> None:
    sent = {"x_trace": "t1", "te": "trailers", "grpc_timeout": "1S", "x_consumer_username": "root"}
    status, headers, body = site.ask(route(site, node) + "?name=who", **sent)
    told = json.loads(json.loads(body)["words"])
    assert (status, headers["x-from"]) == (200, "greeter")
    assert (told["x-trace"], told["x-forwarded-for"]) == ("t1", "127.0.0.1")
    assert {"te", "grpc-timeout", "host", "x-consumer-username"} & set(told) == set()


def test_what_a_server_says_is_told_encoded(site: Site, node: str) -> None:
    status, headers, _ = site.ask(route(site, node) + "?name=unsaid")
    assert (status, headers["grpc-message"]) == (404, "100%25 %E2%98%83%0A%00")


def test_an_answer_that_cannot_be_read_is_a_502(site: Site, node: str) -> None:
    status, _, body = site.ask(route(site, node, method="Babble"))
    assert (status, b"the answer is no conference.Said" in body) == (502, True)
    assert len(site.told(route(site, node) + "?name=large&count=5000000")["words"]) == 5_000_000


def test_a_server_that_takes_longer_than_the_route_has_is_a_504(site: Site, node: str) -> None:
    path = route(site, node, upstream={"timeout": {"connect": 30, "send": 30, "read": 0.3}})
    assert site.ask(path + "?name=asleep")[0] == 504


def test_another_node_is_asked_where_one_is_away(site: Site, node: str) -> None:
    path = route(site, "127.0.0.1:1", node)
    assert [site.ask(path)[0] for _ in range(4)] == [200] * 4


def test_a_node_that_is_away_or_refuses_is_counted_by_passive_checks(site: Site, node: str) -> None:
    def states(path: str) -> dict[str, str]:
        _, _, body = site.gate.operator("GET", "/v1/healthcheck")
        [found] = [each for each in json.loads(body) if each["name"].endswith("/" + path[1:])]
        return {f"{each['ip']}:{each['port']}": each["status"] for each in found["nodes"]}

    active = {"type": "tcp", "healthy": {"interval": 1000}, "unhealthy": {"interval": 1000, "tcp_failures": 99}}
    checks = {
        "active": active,
        "passive": {"unhealthy": {"tcp_failures": 2, "http_statuses": [404], "http_failures": 2}},
    }
    away = route(site, "127.0.0.1:1", node, upstream={"checks": checks})
    assert [site.ask(away)[0] for _ in range(4)] == [200] * 4
    assert states(away) == {"127.0.0.1:1": "unhealthy", node: "healthy"}

    refusing = route(site, node, upstream={"checks": checks})
    # One more than needed: the first active probe, which finds the port open, may come between.
    assert [site.ask(refusing + "?name=nobody")[0] for _ in range(3)] == [404] * 3
    assert states(refusing)[node] == "unhealthy"
