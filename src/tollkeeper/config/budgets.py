"""The [budgets] of a config: each line read, each mistake named with its place."""

from tollkeeper.config.reading import Problem, quoted
from tollkeeper.core.budget import Budget, Scope, parse_all
from tollkeeper.policies.budgets import BudgetRules, BudgetsOptions


def budgets_of(options: BudgetsOptions, problem: Problem) -> BudgetRules:
    """What the rule works with. A line that is no budget is told to `problem`."""

    def read(texts: list[str], scope: Scope, of: str | None, dotted: str) -> tuple[Budget, ...]:
        try:
            return parse_all(texts, scope, of)
        except ValueError as error:
            problem(dotted, str(error))
            return ()

    def groups(named: dict[str, list[str]], scope: Scope, table: str) -> dict[str, tuple[Budget, ...]]:
        return {of: read(texts, scope, of, f"budgets.{table}.{quoted(of)}") for of, texts in named.items()}

    return BudgetRules(
        all=read(options.all, "all", None, "budgets.all"),
        each_key=read(options.each_key, "key", "", "budgets.each_key"),
        teams=groups(options.teams, "team", "teams"),
        owners=groups(options.owners, "owner", "owners"),
        options=options,
    )
