"""Limits of requests, tokens and calls under way: rule 200 around a call."""

from tollkeeper.policies.limits.effective import LimitRules, LimitsOptions
from tollkeeper.policies.limits.limits import ORDER, Limits

__all__ = ["ORDER", "LimitRules", "Limits", "LimitsOptions"]
