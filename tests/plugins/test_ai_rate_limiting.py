"""ai-rate-limiting before a scripted provider."""

from kit.model_routes import ASKED, instance
from kit.routed import Site
from kit.scripted import ScriptedUpstream


def test_tokens_are_charged_after_the_answer_and_refused_when_they_are_gone(
    site: Site, provider: ScriptedUpstream
) -> None:
    limit = {"limit": 20, "time_window": 600, "rejected_code": 429}
    path = site.route({"ai-proxy": instance(provider), "ai-rate-limiting": limit}, upstream=None)
    seen = []
    for _ in range(3):
        status, headers, _ = site.ask(path, "POST", ASKED)
        if status == 200:
            site.gate.event(headers["x-request-id"])
        seen.append((status, headers["x-ai-ratelimit-remaining-ai-proxy"]))
    assert seen == [(200, "20"), (200, "8"), (429, "0")]
