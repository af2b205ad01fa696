"""Resources as a chat may see them: without the secrets that they hold."""

from collections.abc import Iterable
from typing import Any

import msgspec

from tollkeeper.core.revisions import Change

HIDDEN = "[hidden]"
_SECRETS = frozenset(
    """password secret public_key private_key client_key client_cert_key token auth access_key_secret secret_access_key
    client_secret redis_password service_account_json session_secret api_key apikey""".split()  # noqa: SIM905 - read as a list of words
)
"""Fields that hold a secret in APISIX's resources: credentials of consumers, keys of upstreams and providers."""
_HAVE_KEYS = frozenset(("key-auth", "jwt-auth", "csrf"))
"""Plugins whose `key` is a secret; elsewhere it names what is counted or hashed by."""


def shown(value: Any) -> Any:
    """A resource, or a part of one; `$env://NAME` is the name of a secret, and stays."""
    return _without_secrets(value, "")


def hidden(changes: Iterable[Change]) -> list[Change]:
    """The same changes. That a secret becomes another one is told."""
    return [
        msgspec.structs.replace(
            change, before=shown(change.before), after=_without_secrets(change.after, "", change.before)
        )
        for change in changes
    ]


def _without_secrets(value: Any, within: str, other: Any = None) -> Any:
    """`within` is the field that holds it; `other` the value before."""
    if isinstance(value, dict):
        theirs = other if isinstance(other, dict) else {}
        told = {}
        for name, each in value.items():
            beside = theirs.get(name)
            secret = name in _SECRETS or (name == "key" and within in _HAVE_KEYS)
            if secret and each not in (True, False) and not _is_name(each):
                told[name] = HIDDEN if beside is None or beside == each else f"{HIDDEN[:-1]}, another]"
            else:
                told[name] = _without_secrets(each, name, beside)
        return told
    if isinstance(value, list):
        return [_without_secrets(each, within) for each in value]
    return value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value[:7].lower() == "$env://"
