"""How much alike vectors are."""

import math

import pytest

from tollkeeper.routes.similarity import direction, likeness


def test_likeness_is_the_cosine_with_the_nearest_whatever_the_lengths() -> None:
    one = direction([3.0, 4.0])
    for angle in (0.0, 0.3, 1.0, math.pi / 2, 3.0, math.pi):
        turned = [2 * (3 * math.cos(angle) - 4 * math.sin(angle)), 2 * (3 * math.sin(angle) + 4 * math.cos(angle))]
        assert likeness(one, [direction(turned)]) == pytest.approx(math.cos(angle))
    assert likeness(one, [direction([-3.0, -4.0]), direction([0.3, 0.4])]) == pytest.approx(1.0)


@pytest.mark.parametrize("vector", [[], [0.0, 0.0], [math.inf, 1.0], [math.nan]])
def test_what_has_no_direction_is_refused(vector: list[float]) -> None:
    with pytest.raises(ValueError, match="direction"):
        direction(vector)


def test_vectors_of_different_models_are_not_compared() -> None:
    with pytest.raises(ValueError, match="dimensions"):
        likeness(direction([1.0]), [direction([1.0, 0.0])])
