"""What a key may do, and until when."""

import pytest

from tollkeeper.core.keys import Key


def key(**fields: object) -> Key:
    return Key(id="k", name="n", shown="tk-1234567", digest=b"\0" * 32, created_at=1000, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "now", "expected"),
    [
        ({}, 0, True),
        ({}, 10**15, True),
        ({"expires_at": 2000}, 1999, True),
        ({"expires_at": 2000}, 2000, False),
        ({"revoked_at": 1500}, 1400, False),
        ({"revoked_at": 0}, 1400, False),
        ({"revoked_at": 1500, "expires_at": 10**15}, 1600, False),
    ],
)
def test_a_key_is_usable_until_it_expires_or_is_revoked(fields: dict[str, int], now: int, expected: bool) -> None:
    assert expected == key(**fields).usable(now)


@pytest.mark.parametrize(
    ("models", "model", "expected"),
    [
        (None, "anything", True),
        ((), "anything", False),
        (("gpt-4o",), "gpt-4o", True),
        (("gpt-4o",), "gpt-4o-mini", False),
        (("gpt-4o*",), "gpt-4o-mini", True),
        (("gpt-4o*",), "gpt-4o", True),
        (("gpt-4o*",), "gpt-4", False),
        (("*",), "anything", True),
        (("a", "openai/*"), "openai/gpt-4o", True),
        (("gpt*o",), "gpt-4o", False),
        (("GPT-4o",), "gpt-4o", False),
        (("[a-z]",), "a", False),
    ],
)
def test_a_key_may_use_the_models_it_lists_and_those_that_begin_like_a_starred_one(
    models: tuple[str, ...] | None, model: str, expected: bool
) -> None:
    assert expected == key(models=models).may_use(model)
