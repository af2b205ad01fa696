"""The [limits] of a config: each line read, each mistake named with its place."""

from tollkeeper.config.reading import Problem, quoted
from tollkeeper.core.rate import LimitScope, RateLimit, parse_all
from tollkeeper.policies.limits import LimitRules, LimitsOptions


def limits_of(options: LimitsOptions, deadline: float | None, problem: Problem) -> LimitRules:
    """What the rule works with, `deadline` being the seconds a call has. A line that is no limit is told to `problem`."""

    def read(texts: list[str], scope: LimitScope, of: str | None, dotted: str) -> tuple[RateLimit, ...]:
        try:
            return parse_all(texts, scope, of)
        except ValueError as error:
            problem(dotted, str(error))
            return ()

    def groups(named: dict[str, list[str]], scope: LimitScope, table: str) -> dict[str, tuple[RateLimit, ...]]:
        return {of: read(texts, scope, of, f"limits.{table}.{quoted(of)}") for of, texts in named.items()}

    return LimitRules(
        all=read(options.all, "all", None, "limits.all"),
        each_key=read(options.each_key, "key", "", "limits.each_key"),
        teams=groups(options.teams, "team", "teams"),
        owners=groups(options.owners, "owner", "owners"),
        models=groups(options.models, "model", "models"),
        wait=options.wait,
        queue=options.queue,
        deadline=deadline,
    )
