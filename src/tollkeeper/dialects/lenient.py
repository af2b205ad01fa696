"""JSON decoded into typed Structs, though the sender be unlike the original somewhere: what does not fit is left out."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct, inspect

_S = TypeVar("_S", bound=Struct)
_MISFIT = object()


def decoder(kind: type[_S]) -> Callable[[bytes], _S]:
    """A decoder that is strict first, which is fast, and looks again member by member where that fails.

    It raises ValueError where the data is not a JSON object.
    """
    strictly = msgspec.json.Decoder(kind).decode
    shape = inspect.type_info(kind)

    def decode(data: bytes) -> _S:
        try:
            try:
                return strictly(data)
            except msgspec.ValidationError:
                found = _fitted(msgspec.json.decode(data), shape)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if found is _MISFIT:
            raise ValueError("not an object")
        return found  # type: ignore[no-any-return]

    return decode


def _fitted(value: Any, kind: inspect.Type) -> Any:
    """`value` as `kind` wants it, less the members and items that do not fit; _MISFIT where nothing of it does."""
    if isinstance(kind, inspect.StructType):
        if not isinstance(value, dict):
            return _MISFIT
        members = {}
        for field in kind.fields:
            if field.encode_name in value:
                found = _fitted(value[field.encode_name], field.type)
                if found is not _MISFIT:
                    members[field.name] = found
        try:
            return kind.cls(**members)
        except TypeError:  # one that is required is missing
            return _MISFIT
    if isinstance(kind, inspect.UnionType):
        for choice in kind.types:
            found = _fitted(value, choice)
            if found is not _MISFIT:
                return found
        return _MISFIT
    if isinstance(kind, inspect.ListType):
        if not isinstance(value, list):
            return _MISFIT
        fitted = [_fitted(item, kind.item_type) for item in value]
        return [item for item in fitted if item is not _MISFIT]
    return _simple(value, kind)


_SIMPLE: dict[type[inspect.Type], type | tuple[type, ...]] = {
    inspect.StrType: str,
    inspect.BoolType: bool,
    inspect.NoneType: type(None),
    inspect.DictType: dict,
    inspect.VarTupleType: (list, tuple),
}


def _simple(value: Any, kind: inspect.Type) -> Any:
    if isinstance(kind, inspect.AnyType):
        return value
    if isinstance(kind, inspect.RawType):
        return Raw(msgspec.json.encode(value))
    if isinstance(kind, inspect.IntType):
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return int(value) if whole and not isinstance(value, bool) else _MISFIT
    if isinstance(kind, inspect.FloatType):
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else _MISFIT
    expected = _SIMPLE.get(type(kind))
    if expected is None or not isinstance(value, expected):
        return _MISFIT
    return tuple(value) if isinstance(value, list) else value
