"""Exchanges as tests of ordinary routes need them: without a gate."""

from tollkeeper.routes.exchange import Exchange, Request
from tollkeeper.routes.headers import Headers


def exchange(
    path: str = "/", method: str = "GET", query: str = "", client: str = "127.0.0.1", body: bytes = b"", **headers: str
) -> Exchange:
    """A request that came in; headers by name, `user_agent` for user-agent."""
    items = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asked = Request(
        method=method,
        path=path,
        query=query,
        headers=Headers(items),
        client=(client, 40000),
        server=("127.0.0.1", 9080),
        body=body,
        length=len(body),
    )
    return Exchange(asked, "01", 0.0)
