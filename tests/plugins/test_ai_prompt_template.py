"""ai-prompt-template at the gate's door."""

import json

from kit.routed import Site


def test_a_template_makes_the_request(site: Site) -> None:
    template = {"model": "m", "messages": [{"role": "user", "content": "Explain {{ topic }} to {{ whom }}."}]}
    path = site.route({"ai-prompt-template": {"templates": [{"name": "explain", "template": template}]}})
    told = site.told(path, "POST", {"template_name": "explain", "topic": "{{ 7 * 7 }}", "whom": "Ada"})
    assert json.loads(told["body"])["messages"][0]["content"] == "Explain {{ 7 * 7 }} to Ada."
    for body, words in (
        ({"topic": "x"}, "template name is missing in request."),
        ({"template_name": "other"}, "template: other not configured."),
    ):
        status, _, found = site.ask(path, "POST", body)
        assert (status, json.loads(found)["message"]) == (400, words)
