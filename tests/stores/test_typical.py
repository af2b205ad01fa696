"""The usual output of calls like one: the median of this key's last answers for the model."""

from pathlib import Path

from kit.records import NOW, event, write
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.typical import typical_output


def test_it_is_the_median_of_the_last_fifty_answers_of_that_key_for_that_model(home: Path) -> None:
    def answered(at: int, output: int, **changes: object) -> object:
        return event(started_at=NOW + at, usage=Usage(output_tokens=output), key_id="key_1", **changes)

    write(
        home,
        [
            *(answered(at, 9000) for at in range(10)),  # too long ago
            *(answered(100 + at, at) for at in range(1, 51)),
            answered(200, 7000, model_asked="another"),
            answered(201, 7000, outcome="client_left"),
            event(started_at=NOW + 202, usage=Usage(output_tokens=7000), key_id="key_2"),
        ],  # type: ignore[list-item]
    )

    assert typical_output(home, "key_1", "alias") == 25
    assert typical_output(home, "key_2", "alias") == 7000
    assert typical_output(home, "key_1", None) is None


def test_where_there_is_no_store_nothing_is_usual(home: Path) -> None:
    assert typical_output(home, "key_1", "alias") is None
