"""ai-prompt-guard: refuses prompts that match what is denied, or do not match what is allowed."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from tollkeeper.core import patterns
from tollkeeper.core.patterns import BadPattern
from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Conf, Plugin

_PATTERNS: Schema = {"type": "array", "items": {"type": "string", "minLength": 1}, "default": []}


class AiPromptGuard(Plugin):
    """Looks at the last message of the user; at all roles, and at the whole conversation, where that is wanted."""

    priority = 1072
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "match_all_roles": {"type": "boolean", "default": False},
            "match_all_conversation_history": {"type": "boolean", "default": False},
            "allow_patterns": _PATTERNS,
            "deny_patterns": _PATTERNS,
            "fail_mode": {"type": "string", "enum": ["closed", "open"], "default": "closed"},
        },
    }

    @classmethod
    def check(cls, conf: Conf, others: Iterable[Conf]) -> None:
        for name in ("allow_patterns", "deny_patterns"):
            for pattern in conf.get(name, ()):
                try:
                    patterns.compiled(pattern)
                except BadPattern as error:
                    raise ValueError(f"invalid {name.removesuffix('s')}: {pattern}: {error}") from None

    def prepare(self) -> None:
        self._allowed = [self.gate.patterns.compiled(each) for each in self.conf["allow_patterns"]]
        self._denied = [self.gate.patterns.compiled(each) for each in self.conf["deny_patterns"]]

    async def rewrite(self, exchange: Exchange) -> Response | None:
        try:
            given = exchange.request.json(await exchange.request.read())
            texts = list(self._texts(given))
        except ValueError as error:
            if self.conf["fail_mode"] == "open":
                return None
            return Response.json(400, {"message": f"could not read the prompt: {error}"})
        text = "\n".join(texts)
        if self._allowed and not any(each.search(text) for each in self._allowed):
            return Response.json(400, {"message": "Request doesn't match allow patterns"})
        if any(each.search(text) for each in self._denied):
            return Response.json(400, {"message": "Request contains prohibited content"})
        return None

    def _texts(self, given: Any) -> Iterator[str]:
        """What is looked at. Raises ValueError where there are no messages that can be read."""
        if not isinstance(given, dict):
            raise ValueError("the body is not an object")
        messages = given.get("messages", given.get("input", given.get("prompt")))
        if isinstance(messages, str):
            yield messages
            return
        if not isinstance(messages, list):
            raise ValueError("the request has no messages")
        wanted = messages if self.conf["match_all_conversation_history"] else messages[-1:]
        if not self.conf["match_all_roles"]:
            mine = [each for each in messages if isinstance(each, dict) and each.get("role") == "user"]
            wanted = mine if self.conf["match_all_conversation_history"] else mine[-1:]
        for message in wanted:
            yield from _of(message.get("content") if isinstance(message, dict) else message)


def _of(content: Any) -> Iterator[str]:
    """The texts of a message's content, whole or in parts."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]
    elif content is not None:
        raise ValueError("a message's content is neither text nor parts")
