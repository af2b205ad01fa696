"""The headers of a request or an answer, to be read and changed: names in lower case, in the order in which they came."""


class Headers:
    """A list of (name, value); several may have one name. All of it is bytes."""

    __slots__ = ("items",)

    def __init__(self, items: list[tuple[bytes, bytes]] | None = None) -> None:
        self.items: list[tuple[bytes, bytes]] = [] if items is None else items

    def get(self, name: bytes) -> bytes | None:
        """The first value."""
        for each, value in self.items:
            if each == name:
                return value
        return None

    def all(self, name: bytes) -> list[bytes]:
        """Every value."""
        return [value for each, value in self.items if each == name]

    def set(self, name: bytes, value: bytes) -> None:
        """This one value in place of all there are. Raises ValueError where it has a line break in it."""
        name = _checked(name, value)
        self.items = [header for header in self.items if header[0] != name]
        self.items.append((name, value))

    def add(self, name: bytes, value: bytes) -> None:
        """One value more. Raises ValueError where it has a line break in it."""
        self.items.append((_checked(name, value), value))

    def remove(self, *names: bytes) -> None:
        """Takes away every value of these names, which are in lower case."""
        self.items = [header for header in self.items if header[0] not in names]


def _checked(name: bytes, value: bytes) -> bytes:
    if b"\n" in value or b"\r" in value or b"\0" in value or b"\n" in name or b"\r" in name or b":" in name:
        raise ValueError("a header has a line break in it")
    return name.lower()
