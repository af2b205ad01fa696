"""A provider that keeps things, as OpenAI does: files, batches, responses, chat completions, …; with lists in pages."""

import json
from typing import Any
from urllib.parse import parse_qs, unquote

from kit.scripted import Connection, Request, event_stream, json_answer

USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
_KINDS = {
    "files": ("file-", "file"),
    "batches": ("batch_", "batch"),
    "responses": ("resp_", "response"),
    "conversations": ("conv_", "conversation"),
    "vector_stores": ("vs_", "vector_store"),
    "uploads": ("upload_", "upload"),
    "chat/completions": ("chatcmpl-", "chat.completion"),
}


class Keeper:
    """A script. `kept` is all that there is, by its id, oldest first; `mark` goes into every id."""

    def __init__(self, mark: str = "") -> None:
        self.mark = mark
        self.kept: dict[str, dict[str, Any]] = {}
        self.page = 20
        self._made = 0

    def __call__(self, request: Request, connection: Connection) -> bool | None:
        path, _, query = request.path.partition("/v1/")[2].partition("?")
        path = unquote(path)
        where = next((name for name in _KINDS if path == name or path.startswith(name + "/")), None)
        if where is None:
            return json_answer(404, {"error": {"message": "no such path"}})(request, connection)
        _, _, below = path[len(where) :].partition("/")
        name, _, rest = below.partition("/")
        if not name:
            answer = self._make(where, request) if request.method == "POST" else self._list(where, parse_qs(query))
            if request.method == "POST" and b'"stream": true' in request.body:
                return self._streamed(answer, where)(request, connection)
            return json_answer(200, answer)(request, connection)
        found = self.kept.get(name)
        if found is None:
            return json_answer(404, {"error": {"message": "No such thing."}})(request, connection)
        if request.method == "DELETE":
            del self.kept[name]
            return json_answer(200, {"id": name, "object": found["object"], "deleted": True})(request, connection)
        if rest == "complete":
            made = self.add("files", purpose="batch")
            return json_answer(200, {**found, "file": made})(request, connection)
        return json_answer(200, found)(request, connection)

    def add(self, where: str, **more: Any) -> dict[str, Any]:
        """Keeps another one; it."""
        begin, kind = _KINDS[where]
        self._made += 1
        made = {"id": f"{begin}{self.mark}{self._made:03}", "object": kind, **more}
        self.kept[made["id"]] = made
        return made

    def _make(self, where: str, request: Request) -> dict[str, Any]:
        if where == "batches":
            output = self.add("files", purpose="batch_output")["id"]
            return self.add(where, status="completed", output_file_id=output)
        if where == "responses":
            return self.add(where, status="completed", model="m", output=[], usage=USAGE)
        if where == "chat/completions":
            choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
            return self.add(where, model="m", choices=[choice], usage=usage)
        return self.add(where, purpose="user_data") if where == "files" else self.add(where)

    def _list(self, where: str, query: dict[str, list[str]]) -> dict[str, Any]:
        begin = _KINDS[where][0]
        found = [each for name, each in self.kept.items() if name.startswith(begin)][::-1]
        after = query.get("after", [""])[0]
        if after:
            at = next(at for at, each in enumerate(found) if each["id"] == after)
            found = found[at + 1 :]
        limit = int(query.get("limit", [str(self.page)])[0])
        page = found[: min(limit, self.page)]
        return {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(found) > len(page),
        }

    def _streamed(self, made: dict[str, Any], where: str) -> Any:
        if where == "responses":
            events: list[Any] = [{"type": f"response.{name}", "response": made} for name in ("created", "completed")]
            text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        else:
            delta = {"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
            chunk = {"id": made["id"], "object": "chat.completion.chunk", "model": "m", "choices": [delta]}
            text = f"data: {json.dumps({**chunk, 'usage': made['usage']})}\n\ndata: [DONE]\n\n"
        return event_stream(text.encode(), cut=9)
