"""Every error that a caller, an operator or a log can meet, in one tree.

TollkeeperError
├── CallerError     the caller can mend it: 4xx
├── GateError       the gate's own trouble: 500, 503
├── UpstreamError   the provider's trouble: 502, 504, or the provider's own status
├── ClientLeft      nobody is there to read an answer (never rendered)
└── ConfigError     start-up or reload refused; carries every problem found

An error knows its status, its code, whose fault it is and whether a retry can help. Doors render it in their dialect;
nothing else decides what a caller sees.
"""

from typing import Literal

Fault = Literal["caller", "gate", "upstream"]


class TollkeeperError(Exception):
    """Root of the tree. `message` is shown to the caller: it never holds a secret."""

    fault: Fault = "gate"
    status = 500
    type = "server_error"
    code: str | None = None
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        retryable: bool | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.headers = headers
        if status is not None:
            self.status = status
        if type is not None:
            self.type = type
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable

    @property
    def told(self) -> tuple[tuple[bytes, bytes], ...]:
        """The headers that the caller gets."""
        return self.headers


class CallerError(TollkeeperError):
    """The request cannot be served as sent."""

    fault: Fault = "caller"
    status = 400
    type = "invalid_request_error"


class GateError(TollkeeperError):
    """The gate cannot serve now; the caller did nothing wrong."""

    fault: Fault = "gate"
    status = 503
    code = "gate_unavailable"
    retryable = True

    @property
    def told(self) -> tuple[tuple[bytes, bytes], ...]:
        """With a time to come again, unless they say one, or that it is of no use."""
        if any(name in (b"retry-after", b"x-should-retry") for name, _ in self.headers):
            return self.headers
        return (*self.headers, (b"retry-after", b"1"))


class UpstreamError(TollkeeperError):
    """The provider failed, or answered with what cannot be passed on."""

    fault: Fault = "upstream"
    status = 502
    code = "upstream_error"
    retryable = True


class ClientLeft(TollkeeperError):
    """The client closed its connection before its answer was ready."""

    fault: Fault = "caller"
    status = 499
    code = "client_left"


class ConfigError(TollkeeperError):
    """A configuration that cannot be used. `problems` has one line each: where, what was found, what was expected."""

    code = "config_invalid"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def model_not_found(model: str) -> CallerError:
    """Worded as OpenAI words it, so that clients which look for the code find it."""
    return CallerError(
        f"The model `{model}` does not exist or you do not have access to it.",
        status=404,
        code="model_not_found",
        param="model",
    )


def invalid_key() -> CallerError:
    """One answer for a missing, unknown, wrong, revoked or expired key: it tells a guesser nothing."""
    return CallerError(
        "Incorrect API key provided. Use a Tollkeeper key (tk-...) as bearer token.",
        status=401,
        code="invalid_api_key",
        headers=((b"www-authenticate", b"Bearer"),),
    )
