"""ai-prompt-decorator at the gate's door."""

import json

from kit.model_routes import ASKED
from kit.routed import Site


def test_messages_are_put_around_those_of_the_request(site: Site) -> None:
    before, after = {"role": "system", "content": "be brief"}, {"role": "user", "content": "thanks"}
    path = site.route({"ai-prompt-decorator": {"prepend": [before], "append": [after]}})
    told = json.loads(site.told(path, "POST", ASKED | {"keep": 1})["body"])
    assert (told["messages"], told["keep"]) == ([before, *ASKED["messages"], after], 1)
    assert site.ask(path, "POST", b"x")[0] == 400
