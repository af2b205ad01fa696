"""ai-prompt-decorator: puts messages before and after those of every chat request."""

from typing import ClassVar

import msgspec

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Plugin
from tollkeeper.routes.prompts import MESSAGES, asked


class AiPromptDecorator(Plugin):
    """Of a chat request its `messages`; a prompt that is one text gets the texts around it."""

    priority = 1070
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {"prepend": MESSAGES, "append": MESSAGES},
        "anyOf": [{"required": ["prepend"]}, {"required": ["append"]}],
    }

    async def rewrite(self, exchange: Exchange) -> Response | None:
        given = await asked(exchange)
        if isinstance(given, Response):
            return given
        name = "input" if "messages" not in given and "input" in given else "messages"
        messages = given.get(name)
        if isinstance(messages, str) and name == "input":
            messages = [{"role": "user", "content": messages}]
        if not isinstance(messages, list):
            return Response.json(400, {"message": "the request has no messages"})
        given[name] = [*self.conf.get("prepend", ()), *messages, *self.conf.get("append", ())]
        exchange.request.body = msgspec.json.encode(given)
        return None
