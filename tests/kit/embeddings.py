"""A scripted embedding model that knows three subjects: code, translations and the weather."""

import json
import threading
from typing import Any

from kit.scripted import Connection, Request, ScriptedUpstream, json_answer

_SUBJECTS = {"code": [2.0, 0.0, 0.0], "translat": [0.0, 3.0, 0.0], "weather": [0.0, 0.0, 0.5]}
_OTHERWISE = [0.7, 0.5, 0.3]


class EmbeddingModel(ScriptedUpstream):
    """Answers as OpenAI does; while `status` is set, with that, saying the texts back; `held` keeps its answers back."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.status = 200
        self.said: Any = None
        """Answered in place of vectors."""
        self.held = threading.Event()
        self.held.set()

    @property
    def texts(self) -> list[list[str]]:
        """What was embedded, request by request."""
        return [each.json()["input"] for each in self.requests]

    def _answer(self, asked: Request, connection: Connection) -> bool | None:
        self.held.wait(30)
        texts = json.loads(asked.body)["input"]
        if self.status != 200:
            return json_answer(self.status, {"error": {"message": f"bad input: {texts}"}})(asked, connection)
        data = [{"object": "embedding", "index": at, "embedding": _vector(text)} for at, text in enumerate(texts)]
        answer = {"object": "list", "data": data[::-1], "model": "text-embedding-3-small"}
        usage = {"prompt_tokens": 7 * len(texts), "total_tokens": 7 * len(texts)}
        return json_answer(200, self.said or answer | {"usage": usage})(asked, connection)


def _vector(text: str) -> list[float]:
    return next((vector for word, vector in _SUBJECTS.items() if word in text), _OTHERWISE)
