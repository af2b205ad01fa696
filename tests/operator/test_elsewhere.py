"""Another Admin API run by chat: planned here, asked about there, written whole or not at all, and undone."""

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.apisix import ApisixAdmin
from kit.gate import running_gate
from tollkeeper.core.errors import CallerError
from tollkeeper.operator.admin_client import AdminApi
from tollkeeper.operator.elsewhere import Elsewhere
from tollkeeper.routes.administration import Actor
from tollkeeper.routes.proposals import Step
from tollkeeper.upstream.client import HttpClient
from tollkeeper.upstream.nodes import Allowed

ME = Actor("ada", "chat")
ROUTE = {"uri": "/hello", "plugins": {"key-auth": {}}, "upstream": {"nodes": {"93.184.216.34:80": 1}}}


def _put(kind: str, id: str, **value: Any) -> Step:
    return Step("put", kind, id, value)


@pytest.fixture(params=[False, True], ids=["new", "old"])
def there(request: pytest.FixtureRequest) -> Iterator[ApisixAdmin]:
    with ApisixAdmin(fills_in=request.param) as running:
        yield running


def _at(there: ApisixAdmin, work: Callable[[Elsewhere], Awaitable[Any]], *, key: str = "admin-key") -> Any:
    """What `work` comes to at a desk of its own."""

    async def whole() -> Any:
        client, numbers = HttpClient(time.monotonic), itertools.count()
        api = AdminApi(client, there.url, key)
        try:
            return await work(
                Elsewhere(api, client, None, Allowed(), lambda: f"plan{next(numbers)}", time.time),
            )
        finally:
            await client.close()

    return asyncio.run(whole())


def test_a_plan_changes_nothing_is_applied_by_its_id_and_undone(there: ApisixAdmin) -> None:
    there.answer("PUT", "/apisix/admin/routes/old", there.key, b'{"uri": "/old", "upstream": {"nodes": {}}}')
    there.requests.clear()

    async def work(desk: Elsewhere) -> None:
        plan = await desk.propose(
            [_put("routes", "hello", **ROUTE), Step("patch", "routes", "old", {"uri": "/older"})], ME, "a greeting"
        )
        assert there.written() == []
        assert plan.difference.startswith("+ routes/hello")
        assert '-  "uri": "/old"' in plan.difference
        assert "Requests to /hello meet key-auth and go to 93.184.216.34:80." in plan.effects

        done = await desk.apply(plan.id, ME)
        assert there.written() == [("PUT", "routes/hello"), ("PUT", "routes/old")]
        assert there.stored["routes/old"]["uri"] == "/older"
        assert (done.number, done.who, done.what) == (1, "ada", "a greeting")

        await desk.undo(done.number, ME)
        assert set(there.stored) == {"routes/old"}
        assert there.stored["routes/old"]["uri"] == "/old"

    _at(there, work)


def test_what_was_there_before_is_no_revision(there: ApisixAdmin) -> None:
    there.stored["routes/1"] = {"uri": "/1", "upstream_id": "u"}

    async def work(desk: Elsewhere) -> None:
        await desk.fresh()
        assert desk.administration.history() == []
        assert [id for id, _ in desk.administration.all("routes")] == ["1"]

    _at(there, work)


def test_a_plan_is_not_applied_where_others_changed_something_meanwhile(there: ApisixAdmin) -> None:
    async def work(desk: Elsewhere) -> None:
        plan = await desk.propose([_put("routes", "hello", **ROUTE)], ME, "a greeting")
        there.stored["routes/theirs"] = {"uri": "/theirs"}
        with pytest.raises(CallerError, match="changed meanwhile"):
            await desk.apply(plan.id, ME)
        assert there.written() == []
        (theirs,) = desk.administration.history()
        assert (theirs.who, theirs.face) == ("somebody", "elsewhere")

    _at(there, work)


def test_what_fails_midway_is_taken_back(there: ApisixAdmin) -> None:
    there.stored["upstreams/u"] = {"id": "u", "nodes": {"93.184.216.34:80": 1}}
    there.fails.add("routes/hello")

    async def work(desk: Elsewhere) -> None:
        steps = [_put("routes", "hello", **ROUTE), _put("upstreams", "u", nodes={}), _put("services", "s")]
        plan = await desk.propose(steps, ME, "all of it")
        with pytest.raises(CallerError, match="routes/hello: invalid configuration: it is not to be"):
            await desk.apply(plan.id, ME)

    _at(there, work)
    assert set(there.stored) == {"upstreams/u"}
    assert there.stored["upstreams/u"]["nodes"] == {"93.184.216.34:80": 1}


def test_what_refers_to_others_is_written_after_them_and_goes_before_them(there: ApisixAdmin) -> None:
    async def work(desk: Elsewhere) -> None:
        steps = [_put("routes", "r", uri="/r", upstream_id="u"), _put("upstreams", "u", nodes={})]
        made = await desk.apply((await desk.propose(steps, ME, "make")).id, ME)
        await desk.undo(made.number, ME)

    _at(there, work)
    assert [path for _, path in there.written()] == ["upstreams/u", "routes/r", "routes/r", "upstreams/u"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"uri": "/x", "plugins": {"nothing": {}}}, r"unknown plugin \[nothing\]"),
        ({"upstream": {"nodes": {}}}, 'property "uri" is required'),
        ({"uri": "/x", "upstream": {"nodes": {"127.0.0.1:9180": 1}}}, "not allowed"),
        ({"uri": "/x", "upstream": {"nodes": [{"host": "localhost", "weight": 1}]}}, "not allowed"),
        ({"uri": "/x", "plugins": {"key-auth": {"uri": "http://169.254.169.254/latest"}}}, "not allowed"),
        ({"uri": "/x", "plugins": ["key-auth"]}, "cannot be read"),
        ({"uri": "/x", "upstream": {"nodes": [7]}}, "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_proposed(there: ApisixAdmin, value: dict[str, Any], words: str) -> None:
    async def work(desk: Elsewhere) -> None:
        with pytest.raises(CallerError, match=words):
            await desk.propose([Step("put", "routes", "x", value)], ME, "x")
        assert desk.proposals.waiting() == []

    _at(there, work)
    assert there.written() == []


def test_credentials_are_changed_under_their_consumer_and_shown_without_secrets(there: ApisixAdmin) -> None:
    async def work(desk: Elsewhere) -> None:
        steps = [
            _put("consumers", "ada", plugins={}),
            _put("credentials", "ada/one", plugins={"key-auth": {"key": "s3cr3t"}}),
        ]
        plan = await desk.propose(steps, ME, "ada")
        assert "s3cr3t" not in plan.difference
        await desk.apply(plan.id, ME)
        assert there.stored["consumers/ada/credentials/one"]["plugins"]["key-auth"]["key"] == "s3cr3t"

    _at(there, work)


def test_a_wrong_key_is_said(there: ApisixAdmin) -> None:
    with pytest.raises(CallerError, match="does not take this key"):
        _at(there, lambda desk: desk.fresh(), key="wrong")


def test_the_operator_ports_tools_are_about_its_routes_where_the_config_says_so(tmp_path: Path) -> None:
    with ApisixAdmin() as apisix, ApisixAdmin(key="") as gateway:
        config = f'[mcp.admin]\nurl = "{apisix.url}"\nkey = "env:APISIX"\ngateway = "{gateway.url}"\n'
        with running_gate(tmp_path, config, {"APISIX": apisix.key}) as gate:

            def use(tool: str, **arguments: Any) -> Any:
                params = {"name": tool, "arguments": arguments}
                message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
                status, _, body = gate.operator("POST", "/mcp", message)
                assert status == 200, body
                result = json.loads(body)["result"]
                return result["content"][0]["text"] if result["isError"] else result["structuredContent"]

            step = {"do": "put", "kind": "routes", "id": "hello", "value": ROUTE}
            plan = use("propose_changes", what="a greeting", steps=[step])
            assert apisix.written() == []
            revision = use("apply_proposal", id=plan["id"])
            assert apisix.stored["routes/hello"]["uri"] == "/hello"
            assert use("list_resources", kind="routes")["total"] == 1
            assert gate.command("routes", "list") == {}
            assert use("send_request", method="GET", path="/hello")["status"] == 401
            assert use("get_plugin_schema", name="nothing") == "unknown plugin [nothing]"
            assert "key-auth" in use("list_plugins")["plugins"]
            use("undo_revision", revision=revision["revision"])
            assert apisix.stored == {}
