"""Costs by expression: Lua's arithmetic over a provider's usage, and nothing else."""

import pytest

from tollkeeper.routes.cost_expressions import compiled

USAGE = {"input_tokens": 10, "details": {"cached": 4, "input_tokens": 99}, "note": "x", "ok": True}


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("input_tokens + 2 * cached", 18.0),
        ("-2 ^ 2 + 10", 6.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("math.max(input_tokens, 12) % 5 + abs(-1)", 3.0),
        ("ceil(7 / 2) + floor(7 / 2) + min(1, 2)", 8.0),
        ("unknown + note + ok", 0.0),
        ("1 - 5", 0.0),
    ],
)
def test_what_an_expression_comes_to(text: str, worth: float) -> None:
    assert compiled(text)(USAGE) == worth


@pytest.mark.parametrize(
    "text",
    ["", "1 +", "os.exit()", "input_tokens.real", "[1]", "'a' * 9", "max()", "1 if 1 else 2", "2 ** 3", "f(x=1)"],
)
def test_what_is_no_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cost_expr"):
        compiled(text)


@pytest.mark.parametrize("text", ["1 / 0", "9 ^ 9 ^ 9 ^ 9", "(0 - 1) ^ 0.5", "1e308 * 10"])
def test_what_comes_to_no_number_is_an_error_and_takes_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="cost_expr"):
        compiled(text)(USAGE)
