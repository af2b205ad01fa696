"""A scripted model for the walk-through, so that it needs no account: it speaks OpenAI's API and knows two requests.

    python model.py --port 8003

Asked for a gateway, it reads addresses, limits and shares from the words and calls the tools that a real model would call;
asked to undo, it takes the newest revision back. What the tools answer is all that it knows of the gate.
"""

import argparse
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Call = tuple[str, dict[str, Any]]


def reply(messages: list[dict[str, Any]]) -> str | Call:
    """The next words, or the next tool and its arguments, to a conversation in the form of Chat Completions."""
    begin = max(at for at, message in enumerate(messages) if message["role"] == "user")
    asked = text_of(messages[begin])
    results = [text_of(message) for message in messages[begin + 1 :] if message["role"] == "tool"]
    told = [json.loads(result) if result.startswith("{") else {} for result in results]
    if results and not told[-1]:
        return f"That was not done. {results[-1]}"
    if "undo" in asked.lower():
        return undoing(told)
    if "gateway" in asked.lower():
        return building(asked, told)
    return "I only know how to put a gateway in front of an API, and how to undo it."


def building(asked: str, told: list[dict[str, Any]]) -> str | Call:
    """A key, a proposal, its application, and a look whether the gate asks for the key."""
    name = found(r"key for (\w+)", asked, "ada")
    match len(told):
        case 0:
            return "create_key", {"name": name}
        case 1:
            return "propose_changes", {"what": "The conference API behind the gate", "steps": steps(asked, name)}
        case 2:
            return "apply_proposal", {"id": told[1]["id"]}
        case 3:
            return "send_request", {"method": "GET", "path": "/speaker/1/sessions"}
        case _:
            return f"The conference API is behind the gate; without a key it answers {told[3]['status']}."


def undoing(told: list[dict[str, Any]]) -> str | Call:
    """The newest revision is taken back."""
    match len(told):
        case 0:
            return "list_revisions", {"limit": 1}
        case 1 if not told[0]["revisions"]:
            return "There is nothing to undo."
        case 1:
            return "undo_revision", {"revision": told[0]["revisions"][0]["revision"]}
        case _:
            return "It is as it was before."


def steps(asked: str, name: str) -> list[dict[str, Any]]:
    """What the words come to, in the form of the Admin API."""
    first, *rest = re.findall(r"[\w.-]+:\d+", asked)
    plugins: dict[str, Any] = {
        "key-auth": {},
        "limit-count": {
            "count": int(found(r"(\d+) requests a minute", asked, "60")),
            "time_window": 60,
            "key_type": "var",
            "key": "consumer_name",
            "rejected_code": 429,
        },
        "proxy-cache": {
            "cache_strategy": "memory",
            "cache_zone": "memory_cache",
            "cache_ttl": int(found(r"(\d+) seconds", asked, "10")),
        },
    }
    changes = [put("consumers", name, {}), put("upstreams", "conference-1", {"nodes": {first: 1}})]
    if rest:
        share = int(found(r"(\d+) ?%", asked, "50"))
        changes.append(put("upstreams", "conference-2", {"nodes": {rest[0]: 1}}))
        shares = [{"weight": 100 - share}, {"upstream_id": "conference-2", "weight": share}]
        plugins["traffic-split"] = {"rules": [{"weighted_upstreams": shares}]}
    route = {"uris": ["/speaker*", "/session*", "/topic*"], "methods": ["GET"], "upstream_id": "conference-1"}
    return [*changes, put("routes", "conference", {**route, "plugins": plugins})]


def put(kind: str, id: str, value: dict[str, Any]) -> dict[str, Any]:
    """One step of a proposal."""
    return {"do": "put", "kind": kind, "id": id, "value": value}


def found(pattern: str, text: str, otherwise: str) -> str:
    """The first group, or what stands for it."""
    match = re.search(pattern, text)
    return match[1] if match else otherwise


def text_of(message: dict[str, Any]) -> str:
    """Its words, given whole or in parts."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def chunks(said: str | Call, request: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """The reply as events of a stream."""
    chunk = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 0, "model": request["model"]}
    if isinstance(said, str):
        pieces: list[dict[str, Any]] = [{"content": word} for word in re.findall(r"\S+\s*", said)]
        why = "stop"
    else:
        name, arguments = said
        function = {"name": name, "arguments": json.dumps(arguments)}
        pieces = [{"tool_calls": [{"index": 0, "id": f"call_{number}", "type": "function", "function": function}]}]
        why = "tool_calls"
    for delta in ({"role": "assistant"}, *pieces):
        yield {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": why}]}
    read, written = len(json.dumps(request["messages"])) // 4, len(json.dumps(pieces)) // 4
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    yield {**chunk, "choices": [], "usage": usage}


class Model(BaseHTTPRequestHandler):
    """One connection."""

    def do_POST(self) -> None:
        """One call of Chat Completions, streamed; whoever does not want a stream is told so."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not request.get("stream"):
            self.send_error(400, "This model only streams")
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for chunk in chunks(reply(request["messages"]), request, len(request["messages"])):
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description="A scripted model for the walk-through.")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0: a free port")
    with ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Model) as server:
        print(f"Scripted model: http://127.0.0.1:{server.server_port}/v1", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
