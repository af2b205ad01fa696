"""The [apis] of a config become APIs: every template, schema and function read, every mistake named with its place."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from tollkeeper.apis import schemas
from tollkeeper.apis.asked import Api, Description
from tollkeeper.apis.declared import OWN_FIELDS, Declared, DeclaredApi
from tollkeeper.apis.functions import FunctionApi
from tollkeeper.apis.importing import CannotImport, Modules
from tollkeeper.apis.means import Means
from tollkeeper.apis.options import ApiOptions
from tollkeeper.apis.published import Published
from tollkeeper.apis.schemas import BadSchema, Schema
from tollkeeper.apis.text import AnswerTemplate
from tollkeeper.apis.typed import BadType
from tollkeeper.core.errors import CallerError, ConfigError
from tollkeeper.core.json_examples import example_of
from tollkeeper.core.template import Template

ABOUT_AN_ANSWER = frozenset(("text", "input", "data", "model", "finish_reason"))
"""What an answer's template may use."""
_RESERVED = re.compile(
    r"/(v1|openai|healthz|readyz|docs|openapi\.json|playground|ws|mcp|api|apisix|favicon\.ico|robots\.txt)(/|$)"
)
_LENIENT = re.compile(r"\b(default|defined)\b")
"""With these words in it, a template copes with fields that are missing."""
_TEXT: Schema = {"type": "string"}
_CHAT: Schema = {
    "type": "object",
    "description": "A chat request as OpenAI's API takes it; what is not listed here goes to the model too.",
    "properties": {
        "model": {"type": "string"},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"role": {"type": "string"}, "content": {}},
                "required": ["role"],
            },
        },
        "max_tokens": {"type": "integer", "minimum": 1},
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "stream": {"type": "boolean"},
    },
    "required": ["messages"],
}
_CHAT_EXAMPLE = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1000, "temperature": 1.0}
_SAID = "Hello! How can I help you?"


class _Problem(Exception):
    """A field, and what is wrong with it."""

    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field
        self.words = words


def publish(
    options: Mapping[str, ApiOptions], modules: Modules, where: Callable[[str], str], means: Means
) -> dict[str, Api]:
    """The APIs by name. `where` says where in a file a dotted name stands.

    Raises ConfigError with every problem found.
    """
    problems: list[str] = []
    published: dict[str, Api] = {}
    paths: dict[str, str] = {}
    folder = modules.folder
    for name, given in options.items():
        dotted = f"apis.{name}" if re.fullmatch(r"[\w-]+", name) else f'apis."{name}"'
        try:
            path = _path(name, given, paths)
            api = (
                DeclaredApi(_declared(name, path, given, folder), means.handle)
                if given.function is None
                else _function(name, path, given, modules, means)
            )
            published[name] = Published(api, means.say)
        except _Problem as problem:
            at = f"{dotted}.{problem.field}".rstrip(".")
            problems.append(f"{where(at)}{at}: {problem.words}")
    if problems:
        raise ConfigError(problems)
    return published


def _path(name: str, given: ApiOptions, paths: dict[str, str]) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise _Problem("", "expected a name of letters, digits, '_' and '-', 64 at most")
    path = given.path or f"/{name}"
    if "//" in path or "/." in path:
        raise _Problem("path", "expected a path without empty parts, '.' and '..'")
    if _RESERVED.match(path):
        raise _Problem("path", f"'{path}' is the gate's own; expected another path")
    if path in paths:
        raise _Problem("path", f"'{path}' is that of '{paths[path]}' already")
    paths[path] = name
    return path


def _function(name: str, path: str, given: ApiOptions, modules: Modules, means: Means) -> FunctionApi:
    assert given.function is not None
    for field in ("system", "prompt", "answer", "input", "output"):
        if getattr(given, field) is not None:
            raise _Problem(field, "a function says for itself what it takes and gives; leave this out")
    if given.parameters:
        raise _Problem("parameters", "a function gives its own to the model; leave this out")
    try:
        return FunctionApi(name, path, given, modules.find(given.function), means)
    except (CannotImport, BadType) as error:
        raise _Problem("function", f"{given.function}: {error}") from None


def _declared(name: str, path: str, given: ApiOptions, folder: Path) -> Declared:
    prompt, system = _template(given, "prompt"), _template(given, "system")
    output = _schema(given, "output", folder)
    request = _schema(given, "input", folder)
    chats = prompt is None and (request is None or "messages" in request.get("properties", {}))
    _check_fields(given, request, prompt, system, chats)
    answer = _answer(given, output, chats)
    described, example = _described(given, request, prompt, system, chats)
    shown: Schema = _TEXT if answer is not None or output is None else output
    said = example_of(output) if output is not None else _SAID
    if answer is not None:
        about = {"input": example, "model": given.model or "model", "finish_reason": "stop", "data": said}
        try:
            said = answer.fill(_SAID if output is None else msgspec.json.encode(said).decode(), about)
        except Exception:  # an example only: the real answer may well have what this one lacks
            said = _SAID
    described, definitions = schemas.lifted(described, f"{name}.request.")
    shown, more = schemas.lifted(shown, f"{name}.answer.")
    return Declared(
        description=Description(
            name=name,
            path=path,
            text=given.description,
            model=given.model,
            request=described,
            answer=shown,
            piece=_TEXT,
            example=example,
            answer_example=said,
            definitions={**definitions, **more},
        ),
        model=given.model,
        system=system,
        prompt=prompt,
        answer=answer,
        input=None if request is None else _compiled("input", request),
        chats=chats,
        output=output,
        check_output=None if output is None else _compiled("output", output),
        parameters=_parameters(given),
    )


def _check_fields(
    given: ApiOptions, request: Schema | None, prompt: Template | None, system: Template | None, chats: bool
) -> None:
    if request is None:
        return
    if request.get("type", "object") != "object":
        raise _Problem("input", "expected the schema of an object")
    properties = request.get("properties", {})
    taken = sorted(OWN_FIELDS & set(properties)) if not chats else []
    if taken:
        raise _Problem("input", f"'{taken[0]}' is a field that every API has; expected another name")
    if request.get("additionalProperties") is False and not chats:
        for field, template in (("prompt", prompt), ("system", system)):
            unknown = sorted((template.fields if template is not None else frozenset()) - set(properties))
            if unknown:
                raise _Problem(field, f"'{{{{ {unknown[0]} }}}}' is not among the fields of input")


def _described(
    given: ApiOptions, request: Schema | None, prompt: Template | None, system: Template | None, chats: bool
) -> tuple[Schema, dict[str, Any]]:
    """The request's schema as callers see it, and an example of it."""
    if chats and request is None:
        schema, example = dict(_CHAT), dict(_CHAT_EXAMPLE)
        if given.model is None:
            schema["required"] = ["messages", "model"]
            example = {"model": "gpt-4o-mini", **example}
    else:
        if request is None:
            fields = sorted((prompt.fields if prompt else frozenset()) | (system.fields if system else frozenset()))
            lenient = _LENIENT.search(f"{given.prompt} {given.system}")
            required = [] if lenient else [field for field in fields if field not in OWN_FIELDS]
            request = {
                "type": "object",
                "properties": {field: {} for field in fields},
                "required": required,
                "additionalProperties": False,
            }
        own = {"model": {"type": "string"}, "stream": {"type": "boolean"}}
        schema = {**request, "properties": {**request.get("properties", {}), **own}}
        example = example_of(request)
    return schema, given.example if given.example is not None else example


def _answer(given: ApiOptions, output: Schema | None, chats: bool) -> AnswerTemplate | None:
    source = given.answer
    if source is None:
        if output is not None or not chats:
            return None
        source = "Answer: {{ text }}"
    try:
        answer = AnswerTemplate(source)
    except CallerError as error:
        raise _Problem("answer", error.message) from None
    unknown = sorted(answer.fields - ABOUT_AN_ANSWER)
    if unknown:
        known = ", ".join(sorted(ABOUT_AN_ANSWER))
        raise _Problem("answer", f"'{{{{ {unknown[0]} }}}}' is unknown; expected one of: {known}")
    return answer


def _template(given: ApiOptions, field: str) -> Template | None:
    source: str | None = getattr(given, field)
    if source is None:
        return None
    try:
        return Template(source)
    except CallerError as error:
        raise _Problem(field, error.message) from None


def _schema(given: ApiOptions, field: str, folder: Path) -> Schema | None:
    value = getattr(given, field)
    if value is None:
        return None
    try:
        schema = schemas.read(value, folder)
        schemas.check(schema)
    except BadSchema as error:
        raise _Problem(field, str(error)) from None
    return schema


def _compiled(field: str, schema: Schema) -> Callable[[Any], Any]:
    try:
        return schemas.check(schema)
    except BadSchema as error:
        raise _Problem(field, str(error)) from None


def _parameters(given: ApiOptions) -> dict[str, bytes]:
    for name in ("messages", "model", "stream", "response_format"):
        if name in given.parameters:
            raise _Problem("parameters", f"'{name}' is set otherwise")
    return {name: msgspec.json.encode(schemas.plain_numbers(value)) for name, value in given.parameters.items()}
