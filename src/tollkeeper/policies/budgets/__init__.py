"""Budgets: what an attempt can cost at most is held before it is sent, and what it has cost is spent."""

from tollkeeper.policies.budgets.budgets import Budgets
from tollkeeper.policies.budgets.rules import BudgetRules, BudgetsOptions

__all__ = ["BudgetRules", "Budgets", "BudgetsOptions"]
