"""APIs that a user publishes at paths of their own, on top of models: declared in the config, or Python functions.

What an author's code needs is here: `from tollkeeper.apis import ApiError, Model, Outside`. It is imported when it is asked
for: a command that only reads the configuration need not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tollkeeper.apis.model import Model, Said
    from tollkeeper.apis.outside import Fetched, Outside, OutsideError
    from tollkeeper.core.errors import CallerError as ApiError
    from tollkeeper.core.errors import TollkeeperError, UpstreamError

__all__ = ["ApiError", "Fetched", "Model", "Outside", "OutsideError", "Said", "TollkeeperError", "UpstreamError"]

_PLACES = {
    "ApiError": ("tollkeeper.core.errors", "CallerError"),
    "Fetched": ("tollkeeper.apis.outside", "Fetched"),
    "Model": ("tollkeeper.apis.model", "Model"),
    "Outside": ("tollkeeper.apis.outside", "Outside"),
    "OutsideError": ("tollkeeper.apis.outside", "OutsideError"),
    "Said": ("tollkeeper.apis.model", "Said"),
    "TollkeeperError": ("tollkeeper.core.errors", "TollkeeperError"),
    "UpstreamError": ("tollkeeper.core.errors", "UpstreamError"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
