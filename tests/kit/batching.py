"""Providers' batch APIs as scripts: OpenAI's and Anthropic's, with what goes wrong with them at will."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from kit.scripted import Connection, Request, chat_answer, json_answer

Line = dict[str, Any]


def answered(line: Line) -> Line:
    """OpenAI's result for a line: the last message again."""
    text = line["body"]["messages"][-1]["content"]
    return result(line, 200, chat_answer(f"re: {text}"))


def result(line: Line, status: int, body: Any) -> Line:
    return {
        "id": "batch_req_1",
        "custom_id": line["custom_id"],
        "response": {"status_code": status, "request_id": "r", "body": body},
        "error": None,
    }


def never(line: Line, code: str = "batch_expired") -> Line:
    """OpenAI's line for a row that was not run."""
    return {"id": "x", "custom_id": line["custom_id"], "response": None, "error": {"code": code, "message": "not run"}}


class OpenAIBatchProvider:
    """A script for `ScriptedUpstream`. `outcome`: how the n-th batch ends: (status, output lines, error lines)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []
        self.looks = 0
        self.looks_needed = 1
        """Looks at a batch that find it in progress."""
        self.outcome: Callable[[int, list[Line]], tuple[str, list[Line], list[Line]]] = lambda number, lines: (
            "completed",
            [answered(line) for line in lines],
            [],
        )
        self.failing: Callable[[int], list[dict[str, Any]]] = lambda number: []
        """Errors with which the n-th batch fails; none: it does not."""
        self.before_answer: Callable[[Request, Connection], bool] = lambda request, connection: True
        """Run when a batch was made, before its answer; False: no answer."""
        self.refuse: Callable[[Request], tuple[int, Any] | None] = lambda request: None
        self._lock = threading.Lock()

    @property
    def rows_asked(self) -> list[str]:
        """The prompts of all batches that were begun."""
        return [line["body"]["messages"][-1]["content"] for batch in self.batches for line in self.lines(batch)]

    def lines(self, batch: dict[str, Any]) -> list[Line]:
        return [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        with self._lock:
            refused = self.refuse(request)
            if refused is not None:
                return json_answer(*refused)(request, connection)
            path = request.path.removeprefix("/v1/")
            if path == "files":
                name = f"file-{len(self.files) + 1}"
                self.files[name] = _content(request.body)
                return json_answer(200, {"id": name, "object": "file"})(request, connection)
            if path == "batches" and request.method == "POST":
                return self._begin(request, connection)
            if path.startswith("batches?"):
                return json_answer(200, {"data": self.batches[::-1], "has_more": False})(request, connection)
            if path.startswith("batches/"):
                return json_answer(200, self._look(path.rpartition("/")[2]))(request, connection)
            name = path.split("/")[1]
            return json_answer(200, self.files[name])(request, connection)

    def _begin(self, request: Request, connection: Connection) -> bool | None:
        wanted = request.json()
        batch = {
            "id": f"batch-{len(self.batches) + 1}",
            "status": "in_progress",
            "created_at": int(time.time()),
            "input_file_id": wanted["input_file_id"],
            "endpoint": wanted["endpoint"],
            "metadata": wanted["metadata"],
            "looks": 0,
        }
        self.batches.append(batch)
        if not self.before_answer(request, connection):
            return False
        return json_answer(200, batch)(request, connection)

    def _look(self, name: str) -> dict[str, Any]:
        number = int(name.rpartition("-")[2])
        batch = self.batches[number - 1]
        self.looks += 1
        batch["looks"] += 1
        if batch["looks"] <= self.looks_needed or batch["status"] != "in_progress":
            return batch
        errors = self.failing(number)
        if errors:
            batch |= {"status": "failed", "errors": {"object": "list", "data": errors}}
            return batch
        status, output, failed = self.outcome(number, self.lines(batch))
        batch["status"] = status
        for field, lines in (("output_file_id", output), ("error_file_id", failed)):
            if lines:
                batch[field] = f"file-{len(self.files) + 1}"
                self.files[batch[field]] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return batch


def _content(form: bytes) -> bytes:
    """The file in a form."""
    return form.partition(b"filename=")[2].partition(b"\r\n\r\n")[2].partition(b"\r\n--")[0]


class AnthropicBatchProvider:
    """The same for Anthropic's. `outcome` says of the n-th batch what its results are."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Any]] = []
        self.requests: list[list[Line]] = []
        self.looks_needed = 1
        self.outcome: Callable[[int, list[Line]], list[Line]] = lambda number, lines: [said(line) for line in lines]
        self.before_answer: Callable[[Request, Connection], bool] = lambda request, connection: True

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        path = request.path.removeprefix("/v1/messages/batches")
        if request.method == "POST":
            lines = request.json()["requests"]
            number = len(self.batches) + 1
            self.requests.append(lines)
            self.batches.append(
                {
                    "id": f"msgbatch_{number}",
                    "type": "message_batch",
                    "processing_status": "in_progress",
                    "created_at": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
                    "request_counts": {"processing": len(lines), "succeeded": 0},
                    "results_url": None,
                    "looks": 0,
                }
            )
            if not self.before_answer(request, connection):
                return False
            return json_answer(200, self.batches[-1])(request, connection)
        if path.startswith("?"):
            page = {"data": self.batches[::-1], "has_more": False, "last_id": None}
            return json_answer(200, page)(request, connection)
        number = int(path.split("/")[1].rpartition("_")[2])
        batch = self.batches[number - 1]
        if path.endswith("/results"):
            lines = self.outcome(number, self.requests[number - 1])
            return json_answer(200, b"".join(json.dumps(line).encode() + b"\n" for line in lines))(request, connection)
        batch["looks"] += 1
        if batch["looks"] > self.looks_needed:
            batch["processing_status"] = "ended"
            batch["results_url"] = f"http://{request.headers['host']}/v1/messages/batches/msgbatch_{number}/results"
        return json_answer(200, batch)(request, connection)


def said(line: Line) -> Line:
    """Anthropic's result for a line: the last message again."""
    content = line["params"]["messages"][-1]["content"]
    text = content if isinstance(content, str) else content[-1]["text"]
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": f"re: {text}"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 3, "service_tier": "batch"},
    }
    return {"custom_id": line["custom_id"], "result": {"type": "succeeded", "message": message}}
