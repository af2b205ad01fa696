"""Rules over variables."""

from typing import Any

import pytest

from kit.exchanges import exchange
from tollkeeper.routes.expressions import BadExpression, compiled

ASKED = exchange("/hello", "POST", "name=jack&age=22&empty=", client="10.1.2.3", user_agent="ios", cookie="a=1; b=2")


@pytest.mark.parametrize(
    ("rules", "holds"),
    [
        ([], True),
        ([["arg_name", "==", "jack"]], True),
        ([["arg_name", "jack"]], True),
        ([["arg_name", "~=", "jack"]], False),
        ([["arg_age", "==", 22]], True),
        ([["arg_age", ">", 21], ["arg_age", "<=", 22]], True),
        ([["arg_age", "!", "<", 18]], True),
        ([["arg_absent", "!", "<", 18]], True),
        ([["arg_absent", "<", 18]], False),
        ([["arg_age", "~~", "^[1-9]{1,2}$"]], True),
        ([["http_user_agent", "~*", "IOS"]], True),
        ([["http_user_agent", "IN", ["android", "ios"]]], True),
        ([["http_absent", "==", None]], True),
        ([["http_user_agent", "==", None]], False),
        ([["arg_empty", "==", ""]], True),
        ([["cookie_b", "==", "2"]], True),
        ([["remote_addr", "ipmatch", ["10.0.0.0/8"]]], True),
        ([["remote_addr", "ipmatch", ["192.168.0.0/16", "::1"]]], False),
        (["OR", ["arg_name", "==", "x"], ["uri", "==", "/hello"]], True),
        (["AND", ["arg_name", "==", "x"], ["uri", "==", "/hello"]], False),
        (["!OR", ["http_user_agent", "==", "ios"], ["http_demo", "==", "test"]], False),
        (["!AND", ["arg_name", "==", "x"], ["uri", "==", "/hello"]], True),
        ([["OR", ["arg_name", "==", "x"], ["request_method", "==", "POST"]], ["uri", "==", "/hello"]], True),
    ],
)
def test_a_rule_holds_or_not(rules: Any, holds: bool) -> None:
    assert compiled(rules)(ASKED) is holds


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (["http_user_agent", "~*", "android"], "rule should be wrapped inside brackets"),
        ([["uri", "nearly", "/"]], "invalid operator 'nearly'"),
        ([["uri", "~~", "("]], "invalid regex"),
        ([["uri", "in", "/"]], "'in' needs an array"),
        ([["remote_addr", "ipmatch", ["nowhere"]]], "invalid ip address"),
        ([[1, "==", 1]], "must be a string"),
        (["OR", ["uri", "==", "/"]], "rules too short"),
    ],
)
def test_a_bad_rule_is_refused_in_words(rules: Any, words: str) -> None:
    with pytest.raises(BadExpression, match=words.replace("(", r"\(")):
        compiled(rules)
