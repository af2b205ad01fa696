"""Text with holes: `{{ topic }}`, filled in a sandbox that reaches nothing but the values it is given (Jinja2's).

Jinja2 is loaded with the first template: most gates have none.
"""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from tollkeeper.core.errors import CallerError

if TYPE_CHECKING:
    from jinja2.sandbox import ImmutableSandboxedEnvironment


class Template:
    """One template. Raises CallerError (invalid_template), with the line, where it is not valid."""

    def __init__(self, text: str) -> None:
        from jinja2 import TemplateSyntaxError, meta

        environment = _environment()
        try:
            self._compiled = environment.from_string(text)
            self.fields = frozenset(meta.find_undeclared_variables(environment.parse(text)))
            """The names it needs from outside."""
        except TemplateSyntaxError as error:
            raise CallerError(
                f"The template is not valid: line {error.lineno}: {error.message}.", code="invalid_template"
            ) from None

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text. Raises CallerError (template_failed) that names what is missing or went wrong."""
        import jinja2

        try:
            return self._compiled.render(values)
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise CallerError(f"The template cannot be filled: {error}.", code="template_failed") from None


@cache
def _environment() -> "ImmutableSandboxedEnvironment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
