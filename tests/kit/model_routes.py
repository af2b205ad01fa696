"""What tests of the plugins that hand over to models share: a scripted provider's settings."""

from typing import Any

from kit.scripted import ScriptedUpstream

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


def at(server: ScriptedUpstream, path: str = "/v1/chat/completions") -> dict[str, Any]:
    """`override` for that server."""
    return {"endpoint": f"http://127.0.0.1:{server.port}{path}"}


def instance(server: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    """What ai-proxy is configured with, for that server."""
    return {
        "provider": "openai-compatible",
        "auth": {"header": {"Authorization": "Bearer sk-of-the-route"}},
        "options": {"model": "gpt-4o-mini", "temperature": 0.5},
        "override": at(server),
        **more,
    }
