"""The configuration: frozen, typed, read and checked whole. An unknown field is an error that names it.

Where a value is a secret it may be `env:NAME` or `file:PATH`; it is looked up when the config is loaded.
"""

from tollkeeper.config.loading import Loaded, budget_rules, config_of, home, load, routing_of
from tollkeeper.config.reading import DEFAULT_FILE
from tollkeeper.config.tables import Config

__all__ = ["DEFAULT_FILE", "Config", "Loaded", "budget_rules", "config_of", "home", "load", "routing_of"]
