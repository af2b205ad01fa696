"""A way out that has a name: its failures tell it, with the same status and code."""

import pytest

from kit.outbound import BRIEF, run
from tollkeeper.core.errors import UpstreamError
from tollkeeper.upstream.client import HttpClient
from tollkeeper.upstream.named import NamedOutbound


def test_a_failure_names_whom_it_was_about_and_stays_what_it_was() -> None:
    async def test(client: HttpClient) -> None:
        gate = NamedOutbound(client, "The gate at http://127.0.0.1:1")
        with pytest.raises(UpstreamError) as raised:
            await gate.send(b"GET", "http://127.0.0.1:1/v1/models", [], b"", BRIEF)

        error = raised.value
        assert error.message == "The gate at http://127.0.0.1:1 cannot be reached: it refused the connection."
        assert (error.status, error.code, error.retryable) == (502, "upstream_refused", True)

    run(test)
