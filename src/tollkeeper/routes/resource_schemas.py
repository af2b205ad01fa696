"""The JSON Schemas of resources, as APISIX 3.x has them: what it refuses we refuse, in the same words."""

from typing import Any

from tollkeeper.routes.json_schema import Schema

ID: Schema = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-zA-Z0-9-_.]+$"},
        {"type": "integer", "minimum": 1},
    ]
}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
_DESC: Schema = {"type": "string", "maxLength": 256}
_LABELS: Schema = {
    "type": "object",
    "patternProperties": {".*": {"type": "string", "pattern": r"^\S+$", "minLength": 1, "maxLength": 256}},
}
_TIME: Schema = {"type": "integer"}
_ABOUT = {"id": ID, "desc": _DESC, "labels": _LABELS, "create_time": _TIME, "update_time": _TIME}
_SECONDS: Schema = {"type": "number", "exclusiveMinimum": 0}
_TIMEOUT: Schema = {
    "type": "object",
    "properties": {"connect": _SECONDS, "send": _SECONDS, "read": _SECONDS},
    "required": ["connect", "send", "read"],
}
_HOST: Schema = {"type": "string", "pattern": r"^\*$|^\*?[0-9a-zA-Z-._\[\]:]+$"}
_HOSTS: Schema = {"type": "array", "items": _HOST, "minItems": 1, "uniqueItems": True}
_ADDRESS: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"^(\d{1,3}\.){3}\d{1,3}(/([0-9]|[12][0-9]|3[0-2]))?$"},
        {"type": "string", "pattern": r"^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/\d{1,3})?$"},
    ]
}
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PURGE")
_PLUGINS: Schema = {"type": "object"}
_NODE_HOST: Schema = {"type": "string", "pattern": r"^\*?[0-9a-zA-Z-._\[\]:]+$"}
_NODES: Schema = {
    "anyOf": [
        {"type": "object", "patternProperties": {".*": {"type": "integer", "minimum": 0}}},
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "host": _NODE_HOST,
                    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                    "weight": {"type": "integer", "minimum": 0},
                    "priority": {"type": "integer"},
                    "metadata": {"type": "object"},
                },
                "required": ["host", "weight"],
            },
        },
    ]
}
_STATUSES: Schema = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "items": {"type": "integer", "minimum": 200, "maximum": 599},
}
_COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": 254}
_COUNT_OR_NONE: Schema = {"type": "integer", "minimum": 0, "maximum": 254}
_INTERVAL: Schema = {"type": "integer", "minimum": 1}
_CHECK_TYPE: Schema = {"type": "string", "enum": ["http", "https", "tcp"]}
ACTIVE_CHECKS: Schema = {
    "type": "object",
    "properties": {
        "type": _CHECK_TYPE,
        "timeout": _SECONDS,
        "concurrency": {"type": "integer", "minimum": 1},
        "host": _HOST,
        "port": {"type": "integer", "minimum": 1, "maximum": 65535},
        "http_method": {"type": "string", "enum": list(METHODS)},
        "http_path": {"type": "string", "pattern": "^/[!-~]*$"},
        "http_req_body": {"type": "string"},
        "https_verify_certificate": {"type": "boolean"},
        "req_headers": {
            "type": "array",
            "minItems": 1,
            "uniqueItems": True,
            "items": {"type": "string", "pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+:"},
        },
        "healthy": {
            "type": "object",
            "properties": {"interval": _INTERVAL, "http_statuses": _STATUSES, "successes": _COUNT},
        },
        "unhealthy": {
            "type": "object",
            "properties": {
                "interval": _INTERVAL,
                "http_statuses": _STATUSES,
                "http_failures": _COUNT,
                "tcp_failures": _COUNT,
                "timeouts": _COUNT,
            },
        },
    },
}
_CHECKS: Schema = {
    "type": "object",
    "properties": {
        "active": ACTIVE_CHECKS,
        "passive": {
            "type": "object",
            "properties": {
                "type": _CHECK_TYPE,
                "healthy": {
                    "type": "object",
                    "properties": {"http_statuses": _STATUSES, "successes": _COUNT_OR_NONE},
                },
                "unhealthy": {
                    "type": "object",
                    "properties": {
                        "http_statuses": _STATUSES,
                        "tcp_failures": _COUNT_OR_NONE,
                        "timeouts": _COUNT_OR_NONE,
                        "http_failures": _COUNT_OR_NONE,
                    },
                },
            },
        },
    },
    "anyOf": [{"required": ["active"]}, {"required": ["active", "passive"]}],
    "additionalProperties": False,
}
UPSTREAM: Schema = {
    "type": "object",
    "properties": {
        **_ABOUT,
        "name": _NAME,
        "nodes": _NODES,
        "type": {"type": "string"},
        "hash_on": {"type": "string", "enum": ["vars", "header", "cookie", "consumer", "vars_combinations"]},
        "key": {"type": "string"},
        "retries": {"type": "integer", "minimum": 0},
        "retry_timeout": {"type": "number", "minimum": 0},
        "timeout": _TIMEOUT,
        "pass_host": {"type": "string", "enum": ["pass", "node", "rewrite"]},
        "upstream_host": _HOST,
        "scheme": {"type": "string", "enum": ["http", "https", "grpc", "grpcs"]},
        "keepalive_pool": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "idle_timeout": {"type": "number", "minimum": 0},
                "requests": {"type": "integer", "minimum": 1},
            },
        },
        "tls": {
            "type": "object",
            "properties": {
                "client_cert": {"type": "string", "minLength": 1},
                "client_key": {"type": "string", "minLength": 1},
                "verify": {"type": "boolean"},
            },
            "dependencies": {"client_cert": ["client_key"], "client_key": ["client_cert"]},
            "additionalProperties": False,
        },
        "checks": _CHECKS,
    },
    "oneOf": [{"required": ["nodes"]}],
    "additionalProperties": False,
}
_URI: Schema = {"type": "string", "minLength": 1, "maxLength": 4096}
ROUTE: Schema = {
    "type": "object",
    "properties": {
        **_ABOUT,
        "name": _NAME,
        "uri": _URI,
        "uris": {"type": "array", "items": _URI, "minItems": 1, "uniqueItems": True},
        "priority": {"type": "integer"},
        "methods": {"type": "array", "items": {"type": "string", "enum": list(METHODS)}, "uniqueItems": True},
        "host": _HOST,
        "hosts": _HOSTS,
        "remote_addr": _ADDRESS,
        "remote_addrs": {"type": "array", "items": _ADDRESS, "minItems": 1, "uniqueItems": True},
        "timeout": _TIMEOUT,
        "vars": {"type": "array"},
        "filter_func": {"type": "string", "minLength": 10, "pattern": "^function"},
        "script": {"type": "string"},
        "plugins": _PLUGINS,
        "plugin_config_id": ID,
        "upstream": UPSTREAM,
        "upstream_id": ID,
        "service_id": ID,
        "enable_websocket": {"type": "boolean"},
        "status": {"type": "integer", "enum": [1, 0]},
    },
    "allOf": [
        {"oneOf": [{"required": ["uri"]}, {"required": ["uris"]}]},
        {
            "anyOf": [
                {"required": [each]}
                for each in ("plugins", "upstream", "upstream_id", "service_id", "plugin_config_id", "script")
            ]
        },
    ],
    "additionalProperties": False,
}
SERVICE: Schema = {
    "type": "object",
    "properties": {
        **_ABOUT,
        "name": _NAME,
        "plugins": _PLUGINS,
        "upstream": UPSTREAM,
        "upstream_id": ID,
        "script": {"type": "string"},
        "enable_websocket": {"type": "boolean"},
        "hosts": _HOSTS,
    },
    "additionalProperties": False,
}
CONSUMER: Schema = {
    "type": "object",
    "properties": {
        **_ABOUT,
        "username": {"type": "string", "minLength": 1, "pattern": r"^[a-zA-Z0-9_\-]+$"},
        "group_id": ID,
        "plugins": _PLUGINS,
    },
    "required": ["username"],
    "additionalProperties": False,
}
CREDENTIAL: Schema = {
    "type": "object",
    "properties": {**_ABOUT, "name": _NAME, "plugins": {"type": "object", "maxProperties": 1}},
    "additionalProperties": False,
}
_WITH_PLUGINS: Schema = {
    "type": "object",
    "properties": {**_ABOUT, "name": _NAME, "plugins": _PLUGINS},
    "required": ["plugins"],
    "additionalProperties": False,
}
PROTO: Schema = {
    "type": "object",
    "properties": {**_ABOUT, "name": _NAME, "content": {"type": "string", "minLength": 1, "maxLength": 1024 * 1024}},
    "required": ["content"],
    "additionalProperties": False,
}
METADATA: Schema = {"type": "object", "properties": {"id": ID}}
_TEXT: Schema = {"type": "string"}
SECRETS: dict[str, Schema] = {
    "vault": {
        "type": "object",
        "properties": {
            "uri": {"type": "string", "pattern": r"^[^/]+://([0-9a-zA-Z.-]+|\[[0-9a-fA-F:]+\])(:\d+)?"},
            **dict.fromkeys(("prefix", "token", "namespace"), _TEXT),
        },
        "required": ["uri", "prefix", "token"],
    },
    "aws": {
        "type": "object",
        "properties": dict.fromkeys(
            ("access_key_id", "secret_access_key", "session_token", "region", "endpoint_url"), _TEXT
        ),
        "required": ["access_key_id", "secret_access_key"],
    },
    "gcp": {
        "type": "object",
        "properties": {"auth_config": {"type": "object"}, "auth_file": _TEXT, "ssl_verify": {"type": "boolean"}},
        "oneOf": [{"required": ["auth_config"]}, {"required": ["auth_file"]}],
    },
}
"""What is said of a vault, by its manager. Nothing is read there: a tool gets back what it stored."""
SCHEMAS: dict[str, Schema] = {
    "routes": ROUTE,
    "services": SERVICE,
    "upstreams": UPSTREAM,
    "consumers": CONSUMER,
    "credentials": CREDENTIAL,
    "consumer_groups": _WITH_PLUGINS,
    "plugin_configs": _WITH_PLUGINS,
    "global_rules": _WITH_PLUGINS,
    "protos": PROTO,
    "plugin_metadata": METADATA,
    "secrets": {"type": "object"},
}
"""By kind, as the Admin API's paths call it."""
CALLED = {
    "routes": "route",
    "services": "service",
    "upstreams": "upstream",
    "consumers": "consumer",
    "credentials": "credential",
    "consumer_groups": "consumer group",
    "plugin_configs": "plugin config",
    "global_rules": "global rule",
    "protos": "proto",
    "plugin_metadata": "plugin metadata",
    "secrets": "secret",
}


def without_times(value: dict[str, Any]) -> dict[str, Any]:
    """A resource as its sender wrote it."""
    return {name: each for name, each in value.items() if name not in ("create_time", "update_time")}
