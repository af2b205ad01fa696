"""Answer templates: what is around the model's text is known before the text, so that pieces can be passed on at once."""

import re
from typing import Any

import msgspec

from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.core.template import Template

_HOLE = re.compile(r"\{\{-?\s*text\s*-?\}\}")
_MARKS = ("{{", "{%", "{#")
_encode = msgspec.json.Encoder().encode


class AnswerTemplate:
    """A template with `text` in it. `fields` are the other names that it needs. Raises CallerError (invalid_template)."""

    def __init__(self, source: str) -> None:
        self._whole = Template(source)
        self.fields = self._whole.fields - {"text"}
        parts = _HOLE.split(source)
        self._around = _around(parts[0], parts[1]) if len(parts) == 2 else None
        plain = self._around is not None and not any(mark in part for part in parts for mark in _MARKS)
        self._before, self._after = (parts[0], parts[1]) if plain else ("", "")
        self._plain = plain

    def fill(self, text: str, values: dict[str, Any]) -> str:
        """The whole answer. Raises TollkeeperError (template_failed)."""
        if self._plain:
            return self._before + text + self._after
        return _filled(self._whole, {**values, "text": text})

    @property
    def splits(self) -> bool:
        """Whether the text stands in it once, as it is: then what is before it and after it can be filled by itself."""
        return self._around is not None

    def before(self, values: dict[str, Any]) -> str:
        """What stands before the text, where it `splits`. Raises TollkeeperError (template_failed)."""
        return self._before if self._plain else self._part(0, values)

    def after(self, values: dict[str, Any]) -> str:
        """What stands after it."""
        return self._after if self._plain else self._part(1, values)

    def _part(self, number: int, values: dict[str, Any]) -> str:
        assert self._around is not None
        return _filled(self._around[number], values)


def _filled(template: Template, values: dict[str, Any]) -> str:
    """The caller can do nothing about an answer's template: it is the gate's failure."""
    try:
        return template.fill(values)
    except CallerError as error:
        words = error.message.replace("The template", "The answer's template", 1)
        raise TollkeeperError(words, code="template_failed") from None


def _around(before: str, after: str) -> tuple[Template, Template] | None:
    """Both sides as templates; None where the hole stands inside a block, or the text is needed elsewhere too."""
    try:
        sides = Template(before), Template(after)
    except CallerError:
        return None
    return None if any("text" in side.fields for side in sides) else sides


def piece(text: str) -> bytes:
    """A piece of text as `Pieces.take` takes it."""
    return _encode(text)


def text_of(pieces: list[bytes]) -> str:
    """What pieces of text, JSON strings all, are together: a character that was cut in two (a surrogate pair) is whole."""
    text: str = msgspec.json.decode(b'"' + b"".join([each[1:-1] for each in pieces]) + b'"')
    return text
