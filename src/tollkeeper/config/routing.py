"""[routing], and the resources of ordinary routes that the file may have beside it, in APISIX's form."""

import ipaddress
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, field

from tollkeeper.core.limits import Positive
from tollkeeper.routes.proposals import Bounds
from tollkeeper.routes.room import Room

RESOURCES = (
    *("routes", "services", "upstreams", "consumers", "credentials", "consumer_groups"),
    *("plugin_configs", "global_rules", "protos", "plugin_metadata"),
)
"""Tables that are passed on as they are: [routes.NAME] is the route with the id NAME."""


class RoutingOptions(Room, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[routing]"""

    allow_nodes: list[str] = field(default_factory=list)
    """Networks that nodes may be in beside all public addresses."""
    path_parameters: bool = False
    """Whether `:name` in a route's path stands for one segment, as with APISIX's radixtree_uri_with_parameter."""
    plugins: str | None = None
    """A folder with plugins of one's own, one file each."""
    keep_revisions: Annotated[int, Meta(ge=1)] = 1000
    """How many revisions can be looked at and undone."""
    proposals: Bounds = Bounds()
    most_proxies: Positive = 32
    """By x-forwarded-for; a request that came through so many is not sent on."""

    def __post_init__(self) -> None:
        for network in self.allow_nodes:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError as error:
                raise ValueError(f"allow_nodes: {error}") from None


def plain(value: Any) -> Any:
    """TOML's values as JSON has them."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return float(value) if isinstance(value, Decimal) else value
