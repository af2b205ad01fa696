"""A small conference API to put a gate in front of: speakers, sessions and topics, in two versions.

    python api.py --port 8001
    python api.py --port 8002 --version 2      # sessions with room and time

It knows nothing of keys, limits or caches. Port 0 is a free one; the address is printed.
"""

import argparse
import json
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONFERENCE: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "conference.json").read_text("utf-8"))
ONLY_IN_VERSION_2 = ("room", "begins")


def answer(path: str, version: int) -> Any:
    """What is at a path, as JSON; None where nothing is."""
    match path.strip("/").split("/"):
        case ["speakers" | "sessions" | "topics" as kind]:
            return {kind: [shown(kind, id, version) for id in CONFERENCE[kind]]}
        case ["speaker" | "session" | "topic" as one, id] if id in CONFERENCE[one + "s"]:
            return shown(one + "s", id, version)
        case ["speaker", id, "sessions"] if id in CONFERENCE["speakers"]:
            return sessions_where(lambda session: session["speaker"] == id, version)
        case ["topic", id, "sessions"] if id in CONFERENCE["topics"]:
            return sessions_where(lambda session: id in session["topics"], version)
        case ["session", id, "topics"] if id in CONFERENCE["sessions"]:
            return {"topics": [shown("topics", topic, version) for topic in CONFERENCE["sessions"][id]["topics"]]}
    return None


def sessions_where(fits: Any, version: int) -> Any:
    """The sessions that fit."""
    return {"sessions": [shown("sessions", id, version) for id, each in CONFERENCE["sessions"].items() if fits(each)]}


def shown(kind: str, id: str, version: int) -> Any:
    """One of them, with its id; the first version does not tell where and when."""
    fields = CONFERENCE[kind][id]
    return {"id": int(id)} | {name: fields[name] for name in fields if version > 1 or name not in ONLY_IN_VERSION_2}


class Conference(BaseHTTPRequestHandler):
    """One connection; `version` is set for each server."""

    version = 1
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Any request that reads."""
        found = answer(self.path.partition("?")[0], self.version)
        body = json.dumps({"error": "There is nothing here."} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-conference-version", str(self.version))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description="A small conference API.")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0: a free port")
    parser.add_argument("--version", type=int, default=1, choices=(1, 2), help="which version of the API")
    given = parser.parse_args()
    handler = type("Handler", (Conference,), {"version": given.version})
    with ThreadingHTTPServer(("127.0.0.1", given.port), handler) as server:
        print(f"Conference API, version {given.version}: http://127.0.0.1:{server.server_port}", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
