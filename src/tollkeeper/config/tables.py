"""The tables of tollkeeper.toml, field by field: what they hold, their defaults and bounds."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tollkeeper.apis.options import ApiOptions, OutsideOptions
from tollkeeper.assistant.options import AssistantOptions
from tollkeeper.config.routing import RoutingOptions
from tollkeeper.core.account import Beyond, Leave, Patience, Strategy
from tollkeeper.core.limits import DoorLimits, Positive
from tollkeeper.flow.departures import DrainBounds
from tollkeeper.flow.health import HealthOptions
from tollkeeper.flow.origins import OwnershipOptions
from tollkeeper.flow.relay import RelayOptions
from tollkeeper.flow.retries import RetryOptions
from tollkeeper.mcp.options import McpOptions
from tollkeeper.policies.budgets import BudgetsOptions
from tollkeeper.policies.cache import CacheOptions, ModelCache
from tollkeeper.policies.idempotency import IdempotencyOptions
from tollkeeper.policies.limits import LimitsOptions
from tollkeeper.sockets.options import SocketOptions
from tollkeeper.stores.sqlite.refusals import RefusalBounds

Port = Annotated[int, Meta(ge=0, le=65535)]


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[server]"""

    host: str = "127.0.0.1"
    port: Port = 9080
    operator_host: str = "127.0.0.1"
    operator_port: Port = 9180
    operator_per_minute: Positive = 60_000
    """Requests to the operator port but for /mcp, with the operator key; as many for all others together."""
    home: str = "~/.tollkeeper"
    """Where the store, the pepper and the operator key live."""
    shutdown_seconds: Annotated[float, Meta(ge=0)] = 30.0
    """How long calls may go on after SIGTERM."""
    describe: bool = True
    """Whether `/`, `/docs` and `/openapi.json` tell, without a key, which APIs are published."""
    limits: DoorLimits = DoorLimits()


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[log]"""

    format: Literal["json", "console", "off"] = "console"
    blocked: Annotated[float, Meta(ge=0)] = 0.1
    """Seconds for which the event loop may be held up before a line says where; 0 looks at nothing."""


class ProviderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[providers.NAME]: what is left out comes from the provider's own file."""

    kind: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    api_version: str | None = None
    stream_usage: Literal["ask", "always", "never"] | None = None
    output_limit: Literal["max_tokens", "max_completion_tokens"] | None = None
    batch: Literal["openai", "anthropic", "none"] | None = None
    prices: str | None = None
    """An id of genai-prices, or "none"."""
    speaks: list[str] | None = None
    """Dialects, the one to translate to first."""
    sockets: list[str] | None = None
    """Those of them that are spoken over a WebSocket too."""
    leave: Leave = "drain"
    shared: bool = False
    """Whether everybody may use what anybody made there."""
    timeouts: Patience = Patience()


class PriceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[models.NAME.price]: USD per million tokens."""

    input: Decimal
    output: Decimal = Decimal(0)
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    request: Decimal = Decimal(0)
    """USD a request."""
    web_search: Decimal = Decimal(0)
    """USD a search that the provider makes."""


class TargetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a model's targets, where more is to be said of it than its name."""

    target: str
    weight: Annotated[float, Meta(gt=0)] = 1.0
    concurrency: Positive | None = None
    price: PriceConfig | None = None


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[models.NAME]"""

    targets: list[str | TargetConfig]
    """`provider/model`, in order of preference."""
    strategy: Strategy = "ordered"
    affinity: bool = False
    fall_back_on: list[Beyond] = []
    price: PriceConfig | None = None
    max_output_tokens: Positive | None = None
    """What budgets limit a request to that sets no limit."""
    cache: ModelCache | None = None
    strict: bool = False
    """Refuse what cannot cross to a target's dialect, in place of leaving it out."""


class LedgerConfig(RefusalBounds, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[ledger]"""

    keep_detail_days: Annotated[int, Meta(ge=35)] = 400
    """Older events are deleted, their sums are not. No fewer than a month of any time zone, which a budget may be for."""


class BatchesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[batches]: those that the gate runs itself."""

    enabled: bool = True
    concurrency: Positive = 32
    """Calls of one batch at one time, at most."""
    running: Positive = 4
    """Batches that run at one time; others wait."""
    keep_days: Positive = 30
    """How long files and batches are kept, looked at when the gate starts."""


class PlaygroundConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[playground]"""

    enabled: bool = True
    """Whether there is one; without a WebSocket there is none."""


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    server: ServerConfig = ServerConfig()
    log: LogConfig = LogConfig()
    relay: RelayOptions = RelayOptions()
    drain: DrainBounds = DrainBounds()
    cache: CacheOptions = CacheOptions()
    idempotency: IdempotencyOptions = IdempotencyOptions()
    ledger: LedgerConfig = LedgerConfig()
    budgets: BudgetsOptions = BudgetsOptions()
    limits: LimitsOptions = LimitsOptions()
    retry: RetryOptions = RetryOptions()
    health: HealthOptions = HealthOptions()
    routing: RoutingOptions = RoutingOptions()
    websocket: SocketOptions = SocketOptions()
    playground: PlaygroundConfig = PlaygroundConfig()
    mcp: McpOptions = McpOptions()
    assistant: AssistantOptions = AssistantOptions()
    ownership: OwnershipOptions = OwnershipOptions()
    batches: BatchesConfig = BatchesConfig()
    providers: dict[str, ProviderConfig] = {}
    models: dict[str, ModelConfig] = {}
    apis: dict[str, ApiOptions] = {}
    outside: dict[str, OutsideOptions] = {}
