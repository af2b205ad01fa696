"""Requests read member by member: wrong types are refused by name, and what nobody looked at is remembered."""

from typing import Any, Self, TypeVar

import msgspec

from tollkeeper.core.errors import CallerError

_T = TypeVar("_T")


class Fields:
    """One JSON object of a request. Members are taken out of it; `close` notes the path of each that is left.

    Every method that takes a member raises CallerError where it is there with another type; null counts as absent.
    """

    __slots__ = ("_left", "_unread", "path", "where")

    def __init__(self, found: dict[str, Any], path: str = "", where: str = "", unread: dict[str, None] | None = None):
        self._left = dict(found)
        self._unread: dict[str, None] = {} if unread is None else unread
        self.path = path
        """Without positions: "messages.content"."""
        self.where = where
        """With them: "messages[3].content[0]"."""

    @classmethod
    def of_body(cls, body: bytes) -> Self:
        """Raises CallerError where the body is not a JSON object."""
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise CallerError("The request's body is not valid JSON.", code="invalid_json") from None
        if not isinstance(found, dict):
            raise CallerError("The request's body must be a JSON object.", code="invalid_json")
        return cls(found)

    @property
    def unread(self) -> tuple[str, ...]:
        """Paths noted so far, in this object and all that were read through it."""
        return tuple(self._unread)

    def __contains__(self, name: str) -> bool:
        return self._left.get(name) is not None

    def take(self, name: str) -> Any:
        return self._left.pop(name, None)

    def skip(self, *names: str) -> None:
        """Members that say nothing that is lost without them."""
        for name in names:
            self._left.pop(name, None)

    def string(self, name: str) -> str | None:
        return self._typed(name, str, "a string")

    def needed(self, name: str) -> str:
        """A string that must be there."""
        found = self.string(name)
        if found is None:
            raise self.refused(name, "is required", "missing_required_parameter")
        return found

    def flag(self, name: str) -> bool | None:
        return self._typed(name, bool, "a boolean")

    def integer(self, name: str) -> int | None:
        found = self._left.get(name)
        if isinstance(found, float) and found.is_integer():
            self._left[name] = int(found)
        elif isinstance(found, bool):
            raise self.refused(name, "must be an integer")
        return self._typed(name, int, "an integer")

    def number(self, name: str) -> float | None:
        found = self._left.get(name)
        if isinstance(found, bool):
            raise self.refused(name, "must be a number")
        if isinstance(found, int):
            return float(self._left.pop(name))
        return self._typed(name, float, "a number")

    def mapping(self, name: str) -> dict[str, Any] | None:
        """An object whose members are data, not fields."""
        return self._typed(name, dict, "an object")

    def list_of_strings(self, name: str) -> list[str] | None:
        """A single string counts as a list of one."""
        found = self.take(name)
        if isinstance(found, str):
            return [found]
        if found is None or (isinstance(found, list) and all(isinstance(item, str) for item in found)):
            return found
        raise self.refused(name, "must be a string or an array of strings")

    def text_or_objects(self, name: str) -> "tuple[str, list[Fields]]":
        """What may be a text or an array of objects: one of the two is empty, both are where it is absent."""
        found = self.take(name)
        if isinstance(found, str):
            return found, []
        if found is None or isinstance(found, list):
            return "", self.each(name, found or [])
        raise self.refused(name, "must be a string or an array")

    def object(self, name: str) -> "Fields | None":
        found = self._typed(name, dict, "an object")
        return None if found is None else self._inner(found, name, "")

    def objects(self, name: str) -> "list[Fields]":
        """Objects of an array; none where it is absent."""
        found = self._typed(name, list, "an array")
        return [] if found is None else self.each(name, found)

    def each(self, name: str, found: list[Any]) -> "list[Fields]":
        """Objects of an array that has been taken."""
        inner = []
        for index, item in enumerate(found):
            if not isinstance(item, dict):
                raise self.refused(f"{name}[{index}]", "must be an object")
            inner.append(self._inner(item, name, f"[{index}]"))
        return inner

    def close(self) -> None:
        """Nobody looks at this object any more."""
        if self._left:
            for name, value in self._left.items():
                if value is not None:
                    self._unread[f"{self.path}.{name}" if self.path else name] = None

    def rest(self) -> dict[str, Any]:
        """Members that nobody took."""
        return {name: value for name, value in self._left.items() if value is not None}

    def refused(self, name: str, why: str, code: str = "invalid_type") -> CallerError:
        """An error that says where. Without a name it is about this object."""
        param = f"{self.where}.{name}" if self.where and name else self.where or name
        return CallerError(f"Invalid request: '{param}' {why}.", code=code, param=param)

    def _inner(self, found: dict[str, Any], name: str, position: str) -> "Fields":
        path = f"{self.path}.{name}" if self.path else name
        where = f"{self.where}.{name}{position}" if self.where else name + position
        return Fields(found, path, where, self._unread)

    def _typed(self, name: str, kind: type[_T], called: str) -> _T | None:
        found = self._left.pop(name, None)
        if found is None or isinstance(found, kind):
            return found
        raise self.refused(name, f"must be {called}")
