"""ai-prompt-template: a request names a template and fills its holes, instead of sending messages of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from jinja2 import ChainableUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tollkeeper.routes.exchange import Exchange, Response
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.plugin import Plugin
from tollkeeper.routes.prompts import MESSAGES, asked

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=ChainableUndefined, autoescape=False)


class AiPromptTemplate(Plugin):
    """`{"template_name": …, "hole": …}` becomes the template's request, each `{{ hole }}` in its messages filled."""

    priority = 1071
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "templates": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "minLength": 1},
                        "template": {
                            "type": "object",
                            "properties": {
                                "model": {"type": "string", "minLength": 1},
                                "messages": {**MESSAGES, "minItems": 1},
                            },
                            "required": ["messages"],
                        },
                    },
                    "required": ["name", "template"],
                },
            }
        },
        "required": ["templates"],
    }

    def prepare(self) -> None:
        self._templates: dict[str, Mapping[str, Any]] = {
            each["name"]: each["template"] for each in self.conf["templates"]
        }

    async def rewrite(self, exchange: Exchange) -> Response | None:
        given = await asked(exchange)
        if isinstance(given, Response):
            return given
        name = given.get("template_name")
        if not name:
            return Response.json(400, {"message": "template name is missing in request."})
        template = self._templates.get(name) if isinstance(name, str) else None
        if template is None:
            return Response.json(400, {"message": f"template: {name} not configured."})
        try:
            messages = [{**each, "content": _filled(each["content"], given)} for each in template["messages"]]
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            return Response.json(400, {"message": f"template: {name} cannot be filled: {error}"})
        exchange.request.body = msgspec.json.encode({**template, "messages": messages})
        return None


def _filled(text: str, values: Mapping[str, Any]) -> str:
    return _ENVIRONMENT.from_string(text).render({str(name): value for name, value in values.items()})
