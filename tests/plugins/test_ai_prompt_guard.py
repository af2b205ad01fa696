"""ai-prompt-guard at the gate's door."""

import json

from kit.routed import Site


def test_prompts_are_guarded(site: Site) -> None:
    path = site.route({"ai-prompt-guard": {"allow_patterns": ["order", "hi"], "deny_patterns": ["(?i)password"]}})

    def said(*messages: str) -> tuple[int, str]:
        body = {"messages": [{"role": "user", "content": each} for each in messages]}
        status, _, found = site.ask(path, "POST", body)
        return status, json.loads(found).get("message", "")

    assert said("hi")[0] == 200
    assert said("weather?") == (400, "Request doesn't match allow patterns")
    assert said("hi, your PASSWORD?") == (400, "Request contains prohibited content")
    assert said("password", "hi")[0] == 200
    whole = {"deny_patterns": ["password"], "match_all_conversation_history": True}
    path = site.route({"ai-prompt-guard": whole})
    assert said("password", "hi")[0] == 400
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "password"}]}]}
    assert site.ask(path, "POST", parts)[0] == 400
    assert site.ask(path, "POST", b"x")[0] == 400
