"""What is expected of a job: sums over all rows from a sample, and silence about what cannot be known."""

import random

from tollkeeper.bulk.forecast import Answered, Chosen, Forecast, Range, forecast
from tollkeeper.bulk.records import Record
from tollkeeper.bulk.shaping import Shape
from tollkeeper.core.money import Price


def _told(shape: Shape, answered: list[Answered], rpm: float | None = None, price: Price | None = None) -> Forecast:
    draw = random.Random(1)
    records = [Record(index, index + 1, "word " * (index % 10)) for index in range(1000)]
    records.append(Record(1000, 1001, None, "broken"))
    return forecast(
        Chosen(records, shape, draw),
        answered,
        count=lambda model, text: len(text.split()),
        price_of=lambda model: price,
        concurrency=10,
        rpm=rpm,
        tpm=None,
        draw=draw,
    )


def test_input_is_counted_on_a_sample_and_what_nobody_knows_is_not_told() -> None:
    told = _told(Shape(model="m"), [])
    assert (told.rows, told.broken, told.sampled) == (1001, 1, 200)
    assert 7500 < told.input_tokens.p50 < told.input_tokens.p90 < 9500  # 4.5 words and 4 around them
    assert (told.output_tokens, told.cost_usd, told.seconds) == (None, None, None)


def test_a_bound_on_output_gives_the_most_that_it_can_cost() -> None:
    told = _told(Shape(model="m", parameters={"max_tokens": 100}), [], price=Price(version="v", input=0, output=1000))
    assert told.output_tokens == Range(100_000, 100_000)
    assert told.cost_usd is not None
    assert told.cost_usd[0] == told.cost_usd[1]


def test_real_answers_come_first_and_the_users_rate_bounds_the_time() -> None:
    answered = [Answered(10, 20, 30, 0.5)] * 5
    told = _told(Shape(model="m"), answered)
    assert (told.input_tokens, told.output_tokens) == (Range(10_000, 10_000), Range(20_000, 20_000))
    assert told.cost_usd == ("0.00003", "0.00003")
    assert told.seconds == Range(50, 50)
    assert _told(Shape(model="m"), answered, rpm=600).seconds == Range(100, 100)


def test_a_small_job_takes_as_long_as_one_answer() -> None:
    found = Chosen([Record(0, 1, "a"), Record(1, 2, "b")], Shape(model="m"), random.Random(1))
    told = forecast(
        found,
        [Answered(10, 20, 30, 0.5)],
        count=lambda model, text: 1,
        price_of=lambda model: None,
        concurrency=100,
        rpm=None,
        tpm=None,
        draw=random.Random(1),
    )
    assert told.seconds == Range(0.5, 0.5)
