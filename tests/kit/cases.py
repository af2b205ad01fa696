"""Runs files of cases for ordinary routes and their Admin API: YAML, each case steps with what they are to answer."""

import json
import re
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from kit.backends import Refusing
from kit.gate import GateProcess

Case = dict[str, Any]
_ABOUT = ("create_time", "update_time", "createdIndex", "modifiedIndex")
_KINDS = (
    *("routes", "services", "upstreams", "consumers", "global_rules", "plugin_configs", "consumer_groups"),
    *("protos", "plugin_metadata"),
)
_UP = {"nodes": {"127.0.0.1:8080": 1}, "type": "roundrobin"}
PRECONDITIONS: Mapping[str, list[tuple[str, Any]]] = {
    "P01": [("routes/1", {"uri": "/index.html", "upstream": _UP})],
    "P04": [("services/1", {"upstream": _UP})],
    "S06": [(f"routes/{number}", {"uri": f"/hello{number}", "upstream": _UP}) for number in range(1, 12)],
    "S08": [
        ("routes/1", {"uris": ["/hello", "/world"], "labels": {"env": "production"}, "upstream": _UP}),
        ("routes/2", {"uris": ["/hello", "/world"], "labels": {"build": "16"}, "upstream": _UP}),
    ],
}
"""What a case's `precondition` says, by the case."""


def load(path: Path) -> dict[str, Case]:
    """The cases of a file by their ids."""
    read = yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)  # as safe_load's, ten times as fast
    return {case["id"]: case for case in read["cases"]}


def plugins_of(cases: Mapping[str, Case], id: str) -> set[str]:
    """Every plugin that a case, and what it needs, configures."""
    case = cases[id]
    found = plugins_of(cases, case["needs"]) if "needs" in case else set()
    for step in case["steps"]:
        body = step.get("body") or {}
        found |= set(body.get("plugins", ())) if isinstance(body, dict) else set()
    return found


class Runner:
    """Runs cases against one gate, whose backends stand for the ports that cases name."""

    def __init__(self, gate: GateProcess, ports: Mapping[int, int], refusing: Refusing) -> None:
        self._gate = gate
        self._refusing = refusing
        self._names = {f"127.0.0.1:{nominal}": f"127.0.0.1:{real}" for nominal, real in ports.items()}
        self._names |= {f"127.0.0.{number}:1": f"127.0.0.{number}:{refusing.port}" for number in range(1, 5)}

    def run(self, cases: Mapping[str, Case], id: str) -> None:
        """From nothing: what the case needs, then its own steps. Raises AssertionError."""
        self._clear()
        for path, value in PRECONDITIONS.get(id, ()):
            status, _, body = self._gate.operator("PUT", f"/apisix/admin/{path}", value)
            assert status in (200, 201), body
        self._steps(cases, id)

    def _steps(self, cases: Mapping[str, Case], id: str) -> None:
        case = cases[id]
        if "needs" in case:
            if case["needs"] in PRECONDITIONS:
                for path, value in PRECONDITIONS[case["needs"]]:
                    self._gate.operator("PUT", f"/apisix/admin/{path}", value)
            self._steps(cases, case["needs"])
        for number, step in enumerate(case["steps"], 1):
            if "sleep" in step:
                time.sleep(step["sleep"] + 0.2)
            elif "plane" in step:
                try:
                    self._step(step)
                except AssertionError as error:
                    raise AssertionError(f"{id} step {number} ({step['method']} {step['path']}): {error}") from None

    def _clear(self) -> None:
        for kind in _KINDS:
            _, _, body = self._gate.operator("GET", f"/apisix/admin/{kind}")
            for each in json.loads(body)["list"]:
                name = each["key"].removeprefix("/apisix/")
                status, _, answer = self._gate.operator("DELETE", f"/apisix/admin/{name}?force=true")
                assert status == 200, answer

    def _step(self, step: Mapping[str, Any]) -> None:
        expect = step.get("expect", {})
        before = self._refusing.count
        times = step.get("repeat", 1)
        paths = step["path"] if isinstance(step["path"], list) else [step["path"]] * times
        answers = [self._send(step, path) for path in paths]
        _check_series(answers, expect)
        for answer in answers:
            _check(answer, expect)
        if "connect_attempts" in expect:
            assert self._refusing.count - before == expect["connect_attempts"]

    def _send(self, step: Mapping[str, Any], path: str) -> "Answer":
        admin = step["plane"] == "admin"
        parts = urlsplit(self._gate.operator_url if admin else self._gate.url)
        headers = dict(step.get("headers", {"X-API-KEY": self._gate.operator_key} if admin else {}))
        body = step.get("raw")
        if "body" in step:
            body = json.dumps(self._real(step["body"]))
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        path = path.replace("<admin key>", self._gate.operator_key)
        connection.putrequest(step["method"], path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body.encode())))
        connection.endheaders(None if body is None else body.encode())
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def _real(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._names.get(name, name): self._real(each) for name, each in value.items()}
        return [self._real(each) for each in value] if isinstance(value, list) else value


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.text = body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def _check_series(answers: list[Answer], expect: Mapping[str, Any]) -> None:
    if "statuses" in expect:
        assert [answer.status for answer in answers] == expect["statuses"]
    if "bodies_sorted" in expect:
        assert sorted(answer.text for answer in answers) == expect["bodies_sorted"]
    for name, values in expect.get("header_seq", {}).items():
        assert [answer.headers.get(name.lower()) for answer in answers] == values


def _check(answer: Answer, expect: Mapping[str, Any]) -> None:
    text = answer.text
    if "status" in expect:
        wanted = expect["status"] if isinstance(expect["status"], list) else [expect["status"]]
        assert answer.status in wanted, f"{answer.status}: {text}"
    if "json_contains" in expect:
        _contains(answer.json, expect["json_contains"], "")
    if "json_equals" in expect:
        assert _plain(answer.json, _ABOUT) == expect["json_equals"], text
    if "json_equals_ignoring" in expect:
        rule = expect["json_equals_ignoring"]
        names = [name.rpartition(".")[2] for name in rule["ignore"]]
        assert _plain(answer.json, names) == rule["equals"], text
    for path in expect.get("json_has", ()):
        assert _at(answer.json, path) is not None, f"{path} is missing in {text}"
    for path in expect.get("json_absent", ()):
        assert _at(answer.json, path) is None, f"{path} is in {text}"
    if "body_equals" in expect:
        assert text == expect["body_equals"]
    for part in [
        *expect.get("body_contains_all", ()),
        *([expect["body_contains"]] if "body_contains" in expect else []),
    ]:
        assert part.replace('\\"', '"') in text.replace('\\"', '"'), f"{part} is not in {text}"
    if "body_not_contains" in expect:
        assert expect["body_not_contains"] not in text
    if "body_regex" in expect:
        assert re.search(expect["body_regex"], text), text
    for name, value in expect.get("headers", {}).items():
        assert answer.headers.get(name.lower()) == value, answer.headers
    for name in expect.get("headers_absent", ()):
        assert name.lower() not in answer.headers
    for name in expect.get("header_gt_zero", ()):
        assert float(answer.headers[name.lower()]) > 0
    _check_list(answer, expect)


def _check_list(answer: Answer, expect: Mapping[str, Any]) -> None:
    if "list_len" in expect:
        assert len(answer.json["list"]) == expect["list_len"]
    if "list_sorted_by" in expect:
        values = [each[expect["list_sorted_by"]] for each in answer.json["list"]]
        assert values == sorted(values)
    for name, values in expect.get("list_values", {}).items():
        assert [each["value"][name] for each in answer.json["list"]] == values


def _contains(found: Any, wanted: Any, at: str) -> None:
    if isinstance(wanted, dict):
        assert isinstance(found, dict), f"{at}: {found!r}"
        for name, each in wanted.items():
            assert name in found, f"{at}.{name} is missing in {found!r}"
            _contains(found[name], each, f"{at}.{name}")
    else:
        assert found == wanted, f"{at}: {found!r} is not {wanted!r}"


def _plain(value: Any, names: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each, names) for name, each in value.items() if name not in names}
    return value


def _at(value: Any, path: str) -> Any:
    for part in re.findall(r"\['([^']+)'\]|([^.\[\]]+)", path):
        value = value.get(part[0] or part[1]) if isinstance(value, dict) else None
    return value
