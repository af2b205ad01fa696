"""What a call costs by an expression over the usage that its provider reported: Lua's arithmetic, as APISIX takes it.

Numbers, names of the usage's members, + - * / // % ^, brackets, and abs, ceil, floor, max, min (with or without `math.`
before them). Nothing else is taken, so that an expression can do nothing but reckon.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

Cost = Callable[[Mapping[str, Any]], float]
"""(the provider's usage) -> the cost, not below 0. Raises ValueError where it is no number."""

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs,
    "ceil": math.ceil,
    "floor": math.floor,
    "max": max,
    "min": min,
}
_LONGEST = 1024


def compiled(text: str) -> Cost:
    """Raises ValueError where `text` is no such expression."""
    if len(text) > _LONGEST or "**" in text:
        raise ValueError("invalid cost_expr: it is too long, or no arithmetic of Lua's")
    try:
        tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
        _check(tree)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"invalid cost_expr: {error}") from None

    def cost(usage: Mapping[str, Any]) -> float:
        try:
            found = float(_worth(tree, _leaves(usage)))
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ValueError(f"cost_expr gives no number: {error}") from None
        if not math.isfinite(found):
            raise ValueError("cost_expr gives no finite number")
        return max(found, 0.0)

    return cost


def _check(node: ast.expr) -> None:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        _check(node.left)
        _check(node.right)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        _check(node.operand)
    elif isinstance(node, ast.Call) and not node.keywords and node.args:
        if _function(node.func) is None:
            raise ValueError("invalid cost_expr: it calls a function that is not known")
        for each in node.args:
            _check(each)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return
    elif not isinstance(node, ast.Name):
        raise ValueError(f"invalid cost_expr: {type(node).__name__} is not taken")


def _function(node: ast.expr) -> Callable[..., float] | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "math":
        return _FUNCTIONS.get(node.attr)
    return _FUNCTIONS.get(node.id) if isinstance(node, ast.Name) else None


def _worth(node: ast.expr, values: Mapping[str, float]) -> float:
    """In floats throughout: an integer could be made to grow without end."""
    if isinstance(node, ast.BinOp):
        return float(_OPERATORS[type(node.op)](_worth(node.left, values), _worth(node.right, values)))
    if isinstance(node, ast.UnaryOp):
        worth = _worth(node.operand, values)
        return -worth if isinstance(node.op, ast.USub) else worth
    if isinstance(node, ast.Call):
        function = _function(node.func)
        assert function is not None
        return float(function(*(_worth(each, values) for each in node.args)))
    if isinstance(node, ast.Constant):
        return float(str(node.value))
    assert isinstance(node, ast.Name)
    return values.get(node.id, 0.0)


def _leaves(usage: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by their own names, of those of one name the one that is least deep."""
    found: dict[str, float] = {}
    level = [usage]
    while level:
        below: list[Mapping[str, Any]] = []
        for each in level:
            for name in sorted(each):
                value = each[name]
                if isinstance(value, dict):
                    below.append(value)
                elif type(value) in (int, float):
                    found.setdefault(name, float(value))
        level = below
    return found
