"""grpc-transcode against a real gRPC server."""

import json
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
  rpc Watch (Asked) returns (stream Said);
}
"""


class Greeter(grpc.GenericRpcHandler):
    """Serves the proto above without generated code."""

    def __init__(self) -> None:
        pool = descriptor_pool.DescriptorPool()
        for file in grpc_calls._files(PROTO).file:
            pool.Add(file)
        find = pool.FindMessageTypeByName
        self.asked, self.said = (
            message_factory.GetMessageClass(find(f"conference.{name}")) for name in ("Asked", "Said")
        )

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method != "/conference.Greeter/Greet":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self.greet, self.asked.FromString, lambda message: message.SerializeToString()
        )

    def greet(self, asked: Any, context: grpc.ServicerContext) -> Any:
        if asked.name == "nobody":
            context.abort(grpc.StatusCode.NOT_FOUND, "there is nobody")
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


def route(site: Site, node: str, **more: Any) -> str:
    site.put("protos/greeter", {"content": PROTO})
    conf = {"proto_id": "greeter", "service": "conference.Greeter", "method": "Greet", **more}
    return site.route({"grpc-transcode": conf}, upstream={"nodes": {node: 1}, "type": "roundrobin", "scheme": "grpc"})


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
    assert site.ask(path, "POST", b"{")[0] == 400


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
