"""What happens in one turn, piece by piece, for whoever shows it."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

Ending = Literal["done", "empty", "length", "filter", "rounds", "tokens"]
"""done: the model was through; empty: it neither said nor did anything; length, filter: its answer was cut;
rounds, tokens: a bound was reached."""


class Event(Struct, frozen=True):
    """Any of the pieces below."""


class Words(Event, frozen=True):
    """The model speaks; as it comes."""

    text: str


class Used(Event, frozen=True):
    """The model wants a tool. `arguments` as it wrote them, JSON or not."""

    tool: str
    arguments: str


class Answered(Event, frozen=True):
    """What the tool said: JSON, or the words of its refusal."""

    tool: str
    text: str
    failed: bool


class Planned(Event, frozen=True):
    """Changes were proposed; nothing is changed."""

    plan: "Plan"


class Changed(Event, frozen=True):
    """A revision was made: a plan applied, or another revision taken back."""

    revision: int
    what: str


class Secret(Event, frozen=True):
    """A key was made. Its secret is for the user's eyes, not for the model's."""

    name: str
    secret: str


class Ended(Event, frozen=True):
    """The turn is over."""

    why: Ending
    rounds: int
    input_tokens: int
    output_tokens: int


class Plan(Struct, frozen=True):
    """A proposal as the tools tell it."""

    id: str
    what: str
    difference: str
    effects: tuple[str, ...] = ()

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> "Plan":
        """Raises KeyError where it is none."""
        return cls(str(told["id"]), str(told["what"]), str(told["difference"]), tuple(map(str, told["effects"])))
