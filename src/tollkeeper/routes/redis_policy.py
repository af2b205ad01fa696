"""How plugins are told that their counters are in Redis, as APISIX's are, and the one client for each server."""

from collections.abc import Mapping
from typing import Any

from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.redis_client import Place, Redis, Resolve

FIELDS: Schema = {
    "policy": {"type": "string", "enum": ["local", "redis"], "default": "local"},
    "redis_host": {"type": "string", "minLength": 2},
    "redis_port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 6379},
    "redis_username": {"type": "string", "minLength": 1},
    "redis_password": {"type": "string"},
    "redis_database": {"type": "integer", "minimum": 0, "default": 0},
    "redis_timeout": {"type": "integer", "minimum": 1, "default": 1000},
    "redis_ssl": {"type": "boolean", "default": False},
    "redis_ssl_verify": {"type": "boolean", "default": False},
    "sync_interval": {"type": "number", "enum": [-1]},
}
"""As APISIX's plugins have them; milliseconds."""


def check(conf: Mapping[str, Any]) -> None:
    """Raises ValueError with what is wrong that no schema can say."""
    if conf.get("policy") == "redis" and "redis_host" not in conf:
        raise ValueError('property "redis_host" is required')


def place_of(conf: Mapping[str, Any]) -> Place:
    """Where a plugin's counters are."""
    return Place(
        host=conf["redis_host"],
        port=conf["redis_port"],
        username=conf.get("redis_username"),
        password=conf.get("redis_password"),
        database=conf["redis_database"],
        tls=conf["redis_ssl"],
        verify=conf["redis_ssl_verify"],
        seconds=conf["redis_timeout"] / 1000,
    )


def redis_of(conf: Mapping[str, Any], known: dict[object, Any], resolve: Resolve) -> Redis | None:
    """The client for the server that `conf` names, None with the policy local; `known` has one for each server."""
    if conf["policy"] != "redis":
        return None
    place = place_of(conf)
    redis: Redis = known.setdefault(place, Redis(place, resolve))
    return redis
