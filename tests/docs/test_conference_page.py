"""docs/conference.md keeps its word: it is typed from top to bottom, with free ports in place of those that it names."""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.gate import request, running_gate
from kit.shell import Shell, matches

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "conference"
PORTS = ("8001", "8002", "8003")


@pytest.fixture
def ports() -> dict[str, str]:
    """A free port for each that the page names."""
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
    free = {port: str(each.getsockname()[1]) for port, each in zip(PORTS, listening, strict=True)}
    for each in listening:
        each.close()
    return free


@pytest.fixture
def reader(tmp_path: Path, ports: dict[str, str]) -> Iterator[Shell]:
    """A terminal in a checkout: what is started in the background ends with it."""
    with Shell(tmp_path, {}) as shell:
        shutil.copytree(EXAMPLE, shell.folder, dirs_exist_ok=True)
        for file in ("proposal.json", "tollkeeper.toml"):
            copied = shell.folder / file
            copied.write_text(_with(ports, copied.read_text("utf-8")), "utf-8")
        (shell.folder / "examples").mkdir()
        (shell.folder / "examples" / "conference").symlink_to(shell.folder)
        yield shell
        shell.run("kill $(jobs -p)")


def _with(ports: dict[str, str], text: str) -> str:
    return re.sub(r"\b800[123]\b", lambda port: ports[port[0]], text)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_the_page_leads_from_nothing_to_answers_and_back(reader: Shell, ports: dict[str, str]) -> None:
    text = _with(ports, (ROOT / "docs" / "conference.md").read_text("utf-8"))
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if language == "sh":
            code, said = reader.run(block)
            assert code == 0, f"{block}\n{said}"
            continue
        assert language == "console", f"nobody runs {language} blocks"
        for command, _, shown in (part.partition("\n") for part in f"\n{block}".split("\n$ ")[1:]):
            _, said = reader.run(command)
            assert matches(said, shown), f"$ {command}\n{said}"


@contextmanager
def conference(version: int) -> Iterator[str]:
    """Host and port of the API, on a free port."""
    command = [sys.executable, str(EXAMPLE / "api.py"), "--version", str(version)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().rpartition("//")[2].strip()
        finally:
            process.terminate()


def test_a_client_that_knows_three_operations_by_get_and_post_puts_the_gate_before_the_api(tmp_path: Path) -> None:
    config = '[routing]\nallow_nodes = ["127.0.0.0/8"]\n[consumers.ada]\n'
    with conference(1) as first, conference(2) as second, running_gate(tmp_path, config) as gate:
        document = yaml.safe_load(request("GET", gate.operator_url + "/openapi.yaml", {})[2])
        operations = {
            operation["operationId"]: (method.upper(), path)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }

        def call(operation: str, body: Any = None, id: str = "") -> Any:
            method, path = operations[operation]
            assert method in ("GET", "POST")
            url = gate.operator_url + path.replace("{id}", id)
            status, _, answer = request(method, url, {"x-api-key": gate.operator_key}, body)
            assert status in (200, 201), answer
            return json.loads(answer)

        [route] = (
            step["value"]
            for step in json.loads((EXAMPLE / "proposal.json").read_text())["steps"]
            if step["kind"] == "routes"
        )
        del route["upstream_id"]
        route["upstream"] = {"nodes": {first: 1}}
        shares = [{"weight": 9}, {"upstream": {"nodes": {second: 1}}, "weight": 1}]
        route["plugins"]["traffic-split"]["rules"] = [{"weighted_upstreams": shares}]
        assert call("getAllRoutes")["total"] == 0
        id = call("createRoute", route)["value"]["id"]
        assert call("getRouteById", id=id)["value"]["plugins"] == route["plugins"]
        key = {"apikey": gate.new_key(name="ada")}

        assert request("GET", gate.url + "/speaker/1/sessions", {})[0] == 401
        status, headers, body = request("GET", gate.url + "/speaker/1/sessions", key)
        assert (status, headers["apisix-cache-status"], headers["x-ratelimit-limit"]) == (200, "MISS", "100")
        assert [session["id"] for session in json.loads(body)["sessions"]] == [1, 5]
        assert request("GET", gate.url + "/speaker/1/sessions", key)[1]["apisix-cache-status"] == "HIT"
        versions = [
            request("GET", f"{gate.url}/session/{number}", key)[1]["x-conference-version"] for number in range(1, 11)
        ]
        assert (versions.count("1"), versions.count("2")) == (9, 1)
