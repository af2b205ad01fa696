"""The HTTP status and the words of JSON-RPC errors."""

import pytest

from tollkeeper.mcp import errors


@pytest.mark.parametrize(
    ("code", "new", "old"),
    [
        (errors.PARSE_ERROR, 400, 400),
        (errors.INVALID_REQUEST, 400, 400),
        (errors.METHOD_NOT_FOUND, 404, 200),
        (errors.INVALID_PARAMS, 400, 200),
        (errors.UNSUPPORTED_VERSION, 400, 200),
        (errors.INTERNAL_ERROR, 200, 200),
    ],
)
def test_a_status_tells_of_the_error_where_the_era_wants_it(code: int, new: int, old: int) -> None:
    error = errors.RpcError(code, "No.")
    assert (error.status(True), error.status(False)) == (new, old)


def test_data_is_told_where_there_is_any() -> None:
    assert errors.RpcError(1, "No.").told() == {"code": 1, "message": "No."}
    assert errors.RpcError(1, "No.", []).told() == {"code": 1, "message": "No.", "data": []}
