"""How plugins are told that their counters are in Redis, as APISIX's are, and the one client for each place of them."""

from collections.abc import Mapping
from typing import Any

from tollkeeper.core.ids import Clock
from tollkeeper.routes.json_schema import Schema
from tollkeeper.routes.redis_client import Keyed, Place, Redis, Resolve
from tollkeeper.routes.redis_cluster import RedisCluster
from tollkeeper.routes.redis_sentinel import RedisSentinel

_PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
_TIME: Schema = {"type": "integer", "minimum": 1, "default": 1000}
FIELDS: Schema = {
    "policy": {"type": "string", "enum": ["local", "redis", "redis-cluster", "redis-sentinel"], "default": "local"},
    "redis_host": {"type": "string", "minLength": 2},
    "redis_port": {**_PORT, "default": 6379},
    "redis_username": {"type": "string", "minLength": 1},
    "redis_password": {"type": "string"},
    "redis_database": {"type": "integer", "minimum": 0, "default": 0},
    "redis_timeout": _TIME,
    "redis_ssl": {"type": "boolean", "default": False},
    "redis_ssl_verify": {"type": "boolean", "default": False},
    "redis_keepalive_timeout": {"type": "integer", "minimum": 1, "default": 60000},
    "redis_keepalive_pool": {"type": "integer", "minimum": 1, "default": 100},
    "redis_cluster_nodes": {
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "minLength": 2, "maxLength": 100},
    },
    "redis_cluster_name": {"type": "string"},
    "redis_cluster_ssl": {"type": "boolean", "default": False},
    "redis_cluster_ssl_verify": {"type": "boolean", "default": False},
    "redis_sentinels": {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {"host": {"type": "string", "minLength": 2}, "port": _PORT},
            "required": ["host", "port"],
            "additionalProperties": False,
        },
    },
    "redis_master_name": {"type": "string", "minLength": 1},
    "redis_role": {"type": "string", "enum": ["master"], "default": "master"},
    "redis_connect_timeout": _TIME,
    "redis_read_timeout": _TIME,
    "sentinel_username": {"type": "string", "minLength": 1},
    "sentinel_password": {"type": "string"},
    "sync_interval": {"type": "number", "enum": [-1]},
}
"""As APISIX's plugins have them; milliseconds. A replica (`redis_role`) takes no counts."""

_NEEDED = {
    "local": (),
    "redis": ("redis_host",),
    "redis-cluster": ("redis_cluster_nodes", "redis_cluster_name"),
    "redis-sentinel": ("redis_sentinels", "redis_master_name"),
}


def check(conf: Mapping[str, Any]) -> None:
    """Raises ValueError with what is wrong that no schema can say."""
    policy = conf.get("policy", "local")
    for name in _NEEDED[policy]:
        if name not in conf:
            raise ValueError(f'property "{name}" is required')
    if policy == "redis-cluster":
        for node in conf["redis_cluster_nodes"]:
            _split(node)


def redis_of(conf: Mapping[str, Any], known: dict[object, Any], resolve: Resolve, monotonic: Clock) -> Keyed | None:
    """The client for the servers that `conf` names, None with the policy local; `known` has one for each place."""
    makers = {"redis": _one, "redis-cluster": _cluster, "redis-sentinel": _sentinel}
    make = makers.get(conf["policy"])
    if make is None:
        return None
    names = [name for name in FIELDS if name.startswith(("redis_", "sentinel_"))]
    place = (conf["policy"], *(repr(conf.get(name)) for name in names))
    found: Keyed | None = known.get(place)
    if found is None:
        found = known[place] = make(conf, resolve, monotonic)
    return found


def _one(conf: Mapping[str, Any], resolve: Resolve, monotonic: Clock) -> Keyed:
    return Redis(_place(conf, conf["redis_host"], conf["redis_port"]), resolve)


def _cluster(conf: Mapping[str, Any], resolve: Resolve, monotonic: Clock) -> Keyed:
    more = {"database": 0, "tls": conf["redis_cluster_ssl"], "verify": conf["redis_cluster_ssl_verify"]}
    return RedisCluster([_place(conf, *_split(node), **more) for node in conf["redis_cluster_nodes"]], resolve)


def _sentinel(conf: Mapping[str, Any], resolve: Resolve, monotonic: Clock) -> Keyed:
    seconds = (conf["redis_connect_timeout"] + conf["redis_read_timeout"]) / 1000
    sentinels = [
        Place(
            host=each["host"],
            port=each["port"],
            username=conf.get("sentinel_username"),
            password=conf.get("sentinel_password"),
            seconds=seconds,
        )
        for each in conf["redis_sentinels"]
    ]
    master = _place(conf, "", 0, seconds=seconds)
    return RedisSentinel(sentinels, conf["redis_master_name"], master, resolve, monotonic)


def _place(conf: Mapping[str, Any], host: str, port: int, **more: Any) -> Place:
    told = {
        "username": conf.get("redis_username"),
        "password": conf.get("redis_password") or None,
        "database": conf["redis_database"],
        "tls": conf["redis_ssl"],
        "verify": conf["redis_ssl_verify"],
        "seconds": conf["redis_timeout"] / 1000,
        "most_idle": conf["redis_keepalive_pool"],
        "idle_seconds": conf["redis_keepalive_timeout"] / 1000,
    }
    return Place(host=host, port=port, **(told | more))


def _split(node: str) -> tuple[str, int]:
    """`HOST:PORT`. Raises ValueError."""
    host, _, port = node.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f'property "redis_cluster_nodes" validation failed: {node} is not host:port')
    return host.strip("[]"), int(port)
