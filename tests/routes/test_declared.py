"""Resources as files declare them."""

from typing import Any

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.routes.declared import desired, shown


def test_tables_and_lists_mean_the_same() -> None:
    route = {"uri": "/"}
    listed = desired({"routes": [{"id": 1, **route}], "consumers": [{"username": "jack"}]})

    assert listed == {"routes": {"1": {"id": 1, **route}}, "consumers": {"jack": {"username": "jack"}}}
    assert desired({"routes": {1: route}}) == {"routes": {"1": route}}
    assert desired(None) == {}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"route": {}}, "there is no such kind"),
        ({"routes": [{}]}, "expected an id"),
        ({"routes": [{"id": 1}, {"id": "1"}]}, "is there twice"),
        ({"routes": {"a": 1}}, "expected a table"),
        ([], "expected routes"),
    ],
)
def test_what_is_not_understood_is_refused(found: Any, words: str) -> None:
    with pytest.raises(CallerError, match=words):
        desired(found)


def test_what_is_shown_can_be_read_again() -> None:
    stored = {"routes": {"1": {"uri": "/", "create_time": 1, "update_time": 2}}, "services": {}}

    assert shown(stored) == {"routes": {"1": {"uri": "/"}}}
