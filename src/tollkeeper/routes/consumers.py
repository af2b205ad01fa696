"""Who calls an ordinary route: a consumer, and the credential it came with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Consumer:
    """One consumer as a plugin that authenticates found it."""

    name: str
    credential: Mapping[str, Any]
    """What the consumer (or its credential) configures for the plugin that found it."""
    group_id: str | None = None
    credential_id: str | None = None
    custom_id: str | None = None
    """The label custom_id."""
    labels: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, Any] = field(default_factory=dict)
    """The consumer's plugins that do not authenticate."""
