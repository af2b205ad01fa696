"""Text with holes: `{{ topic }}`, filled in a sandbox that reaches nothing but the values it is given (Jinja2's)."""

from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tollkeeper.core.errors import CallerError

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)


class Template:
    """One template. Raises CallerError (invalid_template), with the line, where it is not valid."""

    def __init__(self, text: str) -> None:
        try:
            self._compiled = _ENVIRONMENT.from_string(text)
            self.fields = frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(text)))
            """The names it needs from outside."""
        except TemplateSyntaxError as error:
            raise CallerError(
                f"The template is not valid: line {error.lineno}: {error.message}.", code="invalid_template"
            ) from None

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text. Raises CallerError (template_failed) that names what is missing or went wrong."""
        try:
            return self._compiled.render(values)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise CallerError(f"The template cannot be filled: {error}.", code="template_failed") from None
