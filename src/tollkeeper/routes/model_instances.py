"""One provider's settings as the plugins that hand over to models take them: checked, and made a target of the engine."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from msgspec import Raw

from tollkeeper.core.account import Account, Amend, Patience, Target
from tollkeeper.core.provider import HERE, Provider
from tollkeeper.dialects.embedders import EMBEDDERS
from tollkeeper.providers import PROVIDERS
from tollkeeper.routes import google_tokens
from tollkeeper.routes.headers import written
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.nodes import DEFAULT_PORTS

_CHAT = {"openai_chat": HERE, "openai_embeddings": HERE}
_change = msgspec.structs.replace
_KNOWN: dict[str, Provider] = {
    **{name: provider for name, provider in PROVIDERS.items() if name not in ("demo", "azure", "vertex")},
    "azure-openai": PROVIDERS["azure"],
    "openai-compatible": _change(PROVIDERS["openai"], base_url="", speaks=_CHAT),
    "anthropic-compatible": _change(PROVIDERS["anthropic"], base_url=""),
    "aimlapi": _change(PROVIDERS["openai"], base_url="https://api.aimlapi.com/v1", speaks=_CHAT, prices=None),
    # As with APISIX: Google's models are asked in OpenAI's dialect, so the options are those of that.
    "gemini": _change(PROVIDERS["gemini"], speaks=_CHAT),
    "vertex-ai": _change(
        PROVIDERS["vertex"],
        base_url="https://{region}-aiplatform.googleapis.com"
        "/v1beta1/projects/{project_id}/locations/{region}/endpoints/openapi",
    ),
}
"""By APISIX's names. Where `base_url` is empty, `override.endpoint` says where; a {name} in it is of `provider_conf`."""
_SUFFIXES = {
    "/chat/completions": "openai_chat",
    "/responses": "openai_responses",
    "/embeddings": "openai_embeddings",
    "/completions": "openai_completions",
    "/messages": "anthropic_messages",
}
"""How an endpoint ends, and what is spoken there."""
_BODIES = ("openai-chat", "openai-responses", "openai-embeddings", "anthropic-messages")
_OUTPUT = {"openai_responses": "max_output_tokens", "anthropic_messages": "max_tokens", "openai_embeddings": ""}
_NOT_SET = ("model", "stream")
"""Options that are said of the call as a whole."""
GUARDED = "node+"
"""Before the scheme of a URL that a plugin names: its address must be one that nodes may have."""

EMBEDDING = sorted(name for name, provider in _KNOWN.items() if not EMBEDDERS.keys().isdisjoint(provider.speaks))
"""Those that have embeddings."""

_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
KEY: Schema = {"type": "object", "properties": {"header": _TEXTS, "query": _TEXTS}, "additionalProperties": False}
"""`auth` where no token has to be asked for."""
FIELDS: Schema = {
    "provider": {
        "type": "string",
        "enum": sorted(_KNOWN),
    },
    "provider_conf": {
        "type": "object",
        "properties": {
            "project_id": {"type": "string", "minLength": 1},
            "region": {"type": "string", "pattern": r"^[a-z0-9-]+$"},
        },
        "required": ["project_id", "region"],
        "additionalProperties": False,
    },
    "auth": {**KEY, "properties": {**KEY["properties"], "gcp": google_tokens.SCHEMA}},
    "options": {"type": "object", "properties": {"model": {"type": "string", "minLength": 1}}},
    "override": {
        "type": "object",
        "properties": {
            "endpoint": {"type": "string", "pattern": r"^https?://"},
            "llm_options": {
                "type": "object",
                "properties": {"max_tokens": {"type": "integer", "minimum": 1}},
                "additionalProperties": False,
            },
            "request_body": {
                "type": "object",
                "properties": {name: {"type": "object"} for name in _BODIES},
                "additionalProperties": False,
            },
            "request_body_force_override": {"type": "boolean", "default": False},
        },
        "additionalProperties": False,
    },
}
"""What ai-proxy has at its top and ai-proxy-multi in each instance."""
TIMEOUT: Schema = {"type": "integer", "minimum": 1, "maximum": 600000, "default": 30000}
LONGEST_STREAM: Schema = {"type": "integer", "minimum": 1}
VERIFIED: Schema = {"type": "boolean", "enum": [True], "default": True}
"""That a certificate is looked at can be said, and not be refused."""


TUNING: Schema = {
    "keepalive": {"type": "boolean", "enum": [True]},
    "keepalive_timeout": {"type": "integer", "minimum": 1000},
    "keepalive_pool": {"type": "integer", "minimum": 1},
    "streaming_flush_interval_ms": {"type": "integer", "minimum": 0},
    "logging": {
        "type": "object",
        "properties": {name: {"type": "boolean", "enum": [False]} for name in ("summaries", "payloads")},
        "additionalProperties": False,
    },
}
"""What says how APISIX keeps connections, flushes and logs, as far as that is so here or asks for nothing: the gate has
one pool for all, and passes each piece on at once. Configurations that APISIX has filled in name all of them."""


def check(instance: Mapping[str, Any], endpoint: str = "override.endpoint", key: str = "auth") -> None:
    """Raises ValueError with what is wrong with one provider's settings that no schema can say.

    `endpoint` and `key` are what the fields are called that `override.endpoint` and `auth` come from.
    """
    provider = instance["provider"]
    where = instance.get("override", {}).get("endpoint")
    wanted = "{" in _KNOWN[provider].base_url
    if where is None and not _KNOWN[provider].base_url:
        raise ValueError(f"{endpoint} is required for {provider} provider")
    if where is None and wanted and "provider_conf" not in instance:
        raise ValueError(f"provider_conf or {endpoint} is required for {provider} provider")
    if "provider_conf" in instance and not wanted:
        raise ValueError(f"provider_conf is not taken for {provider} provider")
    if where is not None and not urlsplit(where).hostname:
        raise ValueError(f"{endpoint} has no host: {where}")
    auth = instance["auth"]
    for name, value in auth.get("header", {}).items():
        if not name.isascii() or not name or any(letter in name or letter in value for letter in "\r\n\0"):
            raise ValueError(f"{key}.header: {name!r} is no header")
    if "gcp" in auth:
        google_tokens.check(auth["gcp"])


def target(name: str, instance: Mapping[str, Any], timeouts: Patience, token: str | None = None) -> Target:
    """Where a call goes for one provider's settings, checked before; `token` where Google gave one."""
    auth = instance["auth"]
    headers = {key.lower().encode("latin-1", "replace"): value for key, value in auth.get("header", {}).items()}
    if token is not None:
        headers[b"authorization"] = f"Bearer {token}"
    provider, query = _provider(instance)
    secret = None
    scheme, _, key = headers.get(b"authorization", "").partition(" ")
    if "endpoint" not in instance.get("override", {}) and scheme.lower() == "bearer":
        # At its own place a key goes in the header that the dialect spoken has for it.
        secret = key.strip()
        del headers[b"authorization"]
    carried = [*parse_qsl(query, keep_blank_values=True), *auth.get("query", {}).items()]
    return Target(
        Account(
            name=name,
            provider=_change(provider, models=()),
            secret=secret,
            headers=tuple((each, written(value)) for each, value in headers.items()),
            query=urlencode(carried),
            timeouts=timeouts,
        ),
        instance.get("options", {}).get("model"),
        weight=float(instance.get("weight", 1) or 1),
        amend=_amend(instance, provider),
    )


def place(instance: Mapping[str, Any]) -> tuple[str, str, int]:
    """Scheme, host and port of where a provider with these settings is."""
    parts = urlsplit(_provider(instance)[0].base_url.removeprefix(GUARDED))
    return parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]


def patience(conf: Mapping[str, Any]) -> Patience:
    """Of `timeout` and `max_stream_duration_ms`, both in milliseconds."""
    seconds = conf["timeout"] / 1000
    most = conf.get("max_stream_duration_ms")
    total = 3600.0 if most is None else most / 1000
    return Patience(connect=min(seconds, 10.0), first_byte=seconds, idle=seconds, total=total)


def _provider(instance: Mapping[str, Any]) -> tuple[Provider, str]:
    """The provider's data as these settings have it, and the query of its endpoint."""
    provider = _change(_KNOWN[instance["provider"]], name=instance["provider"])
    where = instance.get("override", {}).get("endpoint")
    if where is None:
        return _change(provider, base_url=provider.base_url.format(**instance.get("provider_conf", {}))), ""
    parts = urlsplit(where)
    path = parts.path.rstrip("/")
    root = f"{GUARDED}{parts.scheme}://{parts.netloc}"
    suffix = next((each for each in _SUFFIXES if path.endswith(each)), None)
    if not path:
        return _change(provider, base_url=root + (provider.url_path or "/v1"), speaks=_moved(provider)), parts.query
    # An endpoint with a path says all: the deployment of Azure's, and the version in the query.
    version = None if "api-version" in dict(parse_qsl(parts.query)) else provider.api_version
    if suffix is None:
        return _change(provider, base_url=root + path, paths="none", api_version=version), parts.query
    spoken = _SUFFIXES[suffix]
    speaks = _moved(provider) if spoken in provider.speaks else {spoken: HERE}
    base = root + path.removesuffix(suffix)
    return _change(provider, base_url=base, paths="openai", api_version=version, speaks=speaks), parts.query


def _moved(provider: Provider) -> dict[str, Any]:
    """What it speaks, all at one place: whoever names an endpoint of his own has its other ones beside it."""
    return dict.fromkeys(provider.speaks, HERE)


def _amend(instance: Mapping[str, Any], provider: Provider) -> Amend | None:
    """Options win over what is asked; so does `llm_options`; `request_body` fills in, or wins where it is forced."""
    options = {name: value for name, value in instance.get("options", {}).items() if name not in _NOT_SET}
    override = instance.get("override", {})
    most = override.get("llm_options", {}).get("max_tokens")
    bodies: Mapping[str, Any] = {
        key.replace("-", "_"): value for key, value in override.get("request_body", {}).items()
    }
    forced: bool = override.get("request_body_force_override", False)
    if not options and most is None and not bodies:
        return None
    encoded = {name: msgspec.json.encode(value) for name, value in options.items()}

    def amend(dialect: str, members: Mapping[str, Raw]) -> Mapping[str, bytes]:
        changes = {} if dialect == "openai_embeddings" else dict(encoded)
        if most is not None:
            field = _OUTPUT.get(dialect) if dialect in _OUTPUT else _limit_field(members, provider.output_limit)
            if field:
                changes[field] = b"%d" % most
        patch = bodies.get(dialect, {})
        for name, value in patch.items():
            given = changes.get(name, members.get(name))
            decoded = None if given is None else msgspec.json.decode(given)
            changes[name] = msgspec.json.encode(value if given is None else _merged(decoded, value, forced))
        return changes

    return amend


def _limit_field(members: Mapping[str, Raw], known: Sequence[str]) -> str:
    return next((name for name in known if name in members), known[0])


def _merged(given: Any, patch: Any, forced: bool) -> Any:
    """Objects member by member, all else as a whole."""
    if isinstance(given, dict) and isinstance(patch, dict):
        merged = dict(given)
        for name, value in patch.items():
            merged[name] = _merged(given[name], value, forced) if name in given else value
        return merged
    return patch if forced else given
