"""Rules over variables, as APISIX's `vars` have them: [["arg_page", ">", 3], ["OR", [...], [...]]]."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tollkeeper.core.patterns import BadPattern, Patterns

if TYPE_CHECKING:
    from tollkeeper.routes.exchange import Exchange

Predicate = Callable[["Exchange"], bool]
_USUAL = Patterns()
_LOGICAL = {"AND": (all, False), "OR": (any, False), "!AND": (all, True), "!OR": (any, True)}


class BadExpression(ValueError):
    """What is wrong with a rule."""


def compiled(rules: Any, patterns: Patterns = _USUAL) -> Predicate:
    """One predicate out of a list of rules, all of which must hold. Raises BadExpression.

    Whoever runs it says by which `patterns` those in it are compiled; who only looks whether it can be need not.
    """
    if not isinstance(rules, list):
        raise BadExpression("rule should be wrapped inside brackets")
    if not rules:
        return lambda exchange: True
    if isinstance(rules[0], str) and rules[0].upper() in _LOGICAL:
        return _logical(rules, patterns)
    return _joined([_rule(rule, patterns) for rule in rules], all, False)


def body_needed(rules: Any) -> bool:
    """Whether a rule looks into the request's body."""
    if isinstance(rules, list):
        return any(body_needed(rule) for rule in rules)
    return isinstance(rules, str) and rules.startswith(("post_arg", "graphql_"))


def _logical(rules: Sequence[Any], patterns: Patterns) -> Predicate:
    how, negated = _LOGICAL[rules[0].upper()]
    if len(rules) < 3:
        raise BadExpression("rules too short")
    return _joined([_rule(rule, patterns) for rule in rules[1:]], how, negated)


def _joined(predicates: Sequence[Predicate], how: Callable[[Any], bool], negated: bool) -> Predicate:
    if len(predicates) == 1 and not negated:
        return predicates[0]
    return lambda exchange: how(predicate(exchange) for predicate in predicates) is not negated


def _rule(rule: Any, patterns: Patterns) -> Predicate:
    if not isinstance(rule, list):
        raise BadExpression("rule should be wrapped inside brackets")
    if rule and isinstance(rule[0], str) and rule[0].upper() in _LOGICAL:
        return _logical(rule, patterns)
    if rule and isinstance(rule[0], list):
        return _joined([_rule(each, patterns) for each in rule], all, False)
    if not rule or not isinstance(rule[0], str):
        raise BadExpression("the variable's name must be a string")
    if len(rule) == 2:
        rule = [rule[0], "==", rule[1]]
    negated = len(rule) == 4
    if negated and rule[1] != "!":
        raise BadExpression("bad 'reverse' operator")
    if len(rule) not in (3, 4):
        raise BadExpression("rule should be [variable, operator, value]")
    name, operator, wanted = rule[0], rule[-2], rule[-1]
    how = operator.lower() if isinstance(operator, str) else ""
    if how in _MATCHING:
        holds = _matches(wanted, _MATCHING[how], patterns)
    elif how in _OPERATORS:
        holds = _OPERATORS[how](wanted)
    else:
        raise BadExpression(f"invalid operator '{operator}'")
    return lambda exchange: holds(exchange.var(name)) is not negated


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _equal(wanted: Any) -> Callable[[str | None], bool]:
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        return lambda found: _number(found) == wanted
    if isinstance(wanted, bool):
        wanted = str(wanted).lower()
    return lambda found: found == wanted


def _unequal(wanted: Any) -> Callable[[str | None], bool]:
    equal = _equal(wanted)
    return lambda found: not equal(found)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Callable[[str | None], bool]]:
    def make(wanted: Any) -> Callable[[str | None], bool]:
        bound = _number(wanted)
        if bound is None:
            if not isinstance(wanted, str):
                raise BadExpression("only numbers and strings have an order")
            return lambda found: found is not None and compare(found, wanted)

        def holds(found: str | None) -> bool:
            value = _number(found)
            return value is not None and compare(value, bound)

        return holds

    return make


def _matches(wanted: Any, flags: int, patterns: Patterns) -> Callable[[str | None], bool]:
    try:
        pattern = patterns.compiled(str(wanted), flags)
    except BadPattern as error:
        raise BadExpression(f"invalid regex '{wanted}': {error}") from None
    return lambda found: found is not None and pattern.search(found) is not None


def _in(wanted: Any) -> Callable[[str | None], bool]:
    if not isinstance(wanted, list):
        raise BadExpression("'in' needs an array")
    tests = [_equal(each) for each in wanted]
    return lambda found: any(test(found) for test in tests)


def _has(wanted: Any) -> Callable[[str | None], bool]:
    return lambda found: found is not None and str(wanted) in [part.strip() for part in found.split(",")]


def _ip_match(wanted: Any) -> Callable[[str | None], bool]:
    holds = addresses(wanted if isinstance(wanted, list) else [wanted])
    return lambda found: found is not None and holds(found)


def addresses(given: Sequence[str]) -> Callable[[str], bool]:
    """Whether an address is one of these, or in one of these networks. Raises BadExpression."""
    try:
        networks = [ipaddress.ip_network(each, strict=False) for each in given]
    except ValueError as error:
        raise BadExpression(f"invalid ip address: {error}") from None

    def holds(found: str) -> bool:
        try:
            address = ipaddress.ip_address(found)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in networks)

    return holds


_MATCHING = {"~~": 0, "~*": re.IGNORECASE}
_OPERATORS: dict[str, Callable[[Any], Callable[[str | None], bool]]] = {
    "==": _equal,
    "~=": _unequal,
    ">": _ordered(lambda found, bound: bool(found > bound)),
    ">=": _ordered(lambda found, bound: bool(found >= bound)),
    "<": _ordered(lambda found, bound: bool(found < bound)),
    "<=": _ordered(lambda found, bound: bool(found <= bound)),
    "in": _in,
    "has": _has,
    "ipmatch": _ip_match,
}
