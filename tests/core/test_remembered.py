"""What was found once is found again without asking, and no more is kept than may be."""

from tollkeeper.core.remembered import Remembered


def test_a_function_is_asked_once_for_each_argument() -> None:
    asked: list[int] = []

    def square(number: int) -> int:
        asked.append(number)
        return number * number

    squares = Remembered(square)

    assert [squares[number] for number in (3, 4, 3, 4, 3)] == [9, 16, 9, 16, 9]
    assert asked == [3, 4]


def test_no_more_is_kept_than_may_be() -> None:
    names = Remembered[int, str](str, most=10)

    assert [names[number] for number in range(25)] == [str(number) for number in range(25)]
    assert len(names) <= 10


def test_what_is_too_long_to_be_a_name_is_not_kept() -> None:
    lowered = Remembered[bytes, bytes](bytes.lower)

    assert (lowered[b"A"], lowered[b"B" * 257]) == (b"a", b"b" * 257)
    assert len(lowered) == 1
