"""GET /api/health: how each target fares, as far as calls have told."""

import time

from starlette.requests import Request

from tollkeeper.app import App
from tollkeeper.flow.health import TargetHealth


async def targets(request: Request, app: App) -> object:
    """`{"data": [{"target", "state", "seconds_left", "failures", "ejections", "in_flight", "latency_ms", …}]}`, by name."""
    now = time.monotonic()
    states = sorted(app.target_health.states(), key=lambda state: state.name)
    return {"object": "list", "data": [_shown(state, now) for state in states]}


def _shown(state: TargetHealth, now: float) -> dict[str, object]:
    until = 0.0
    if state.account.key_rests_until > now:
        name, until = "key_ejected", state.account.key_rests_until
    elif state.probing:
        name = "probing"
    elif state.ejected_until:
        name, until = "ejected", state.ejected_until
    elif state.cooled_until > now:
        name, until = "cooled", state.cooled_until
    else:
        name = "well"
    whole, streamed = (state.latency_of(streamed, now) for streamed in (False, True))
    return {
        "target": state.name,
        "state": name,
        "seconds_left": round(max(until - now, 0.0), 3),
        "failures": state.failures,
        "ejections": state.ejections,
        "in_flight": state.in_flight,
        "share": round(state.trust(now), 3),
        "latency_ms": None if whole is None else round(whole * 1000, 1),
        "stream_latency_ms": None if streamed is None else round(streamed * 1000, 1),
    }
