"""Resources as a chat may see them: without the secrets that they hold."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from tollkeeper.core.revisions import Change

HIDDEN = "[hidden]"
_ANOTHER = "[hidden, another]"
_SECRETS = frozenset(
    """password secret public_key private_key client_key client_cert_key token auth auth_header access_key_secret
    secret_access_key service_account_json apikey authorization proxy_authorization cookie set_cookie""".split()  # noqa: SIM905 - read as a list of words
)
"""Fields that hold a secret in APISIX's resources, and headers that plugins set: credentials of consumers, keys of
upstreams, providers and loggers. In lower case, with underscores."""
_SECRETS_END = ("_password", "_secret", "_token", "_api_key", "_apikey")
_ADDRESS = re.compile(
    r"(?i)^(https?://)[^/?#@]*@|(?<=[?&])((?:\w*token|api_?key|key|\w*secret|password|sig|signature)=)[^&#$]+"
)
"""What an address says of who asks: a name and a password, or a member of its query."""
_HEADER = re.compile(r"([\w-]+):\s*(\S.*)")
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
            if _is_secret(name, within) and each not in (True, False, None) and not _is_name(each):
                told[name] = HIDDEN if beside is None or beside == each else _ANOTHER
            else:
                told[name] = _without_secrets(each, name, beside)
        return told
    if isinstance(value, list):
        return [_without_secrets(each, within) for each in value]
    if isinstance(value, str):
        word = HIDDEN if other is None or other == value else _ANOTHER
        return _header(_address(value, word), word)
    return value


@lru_cache(1024)
def _is_secret(name: str, within: str) -> bool:
    plain = name.lower().replace("-", "_")
    return (
        plain in _SECRETS
        or plain == "api_key"
        or plain.endswith(_SECRETS_END)
        or (plain == "key" and within in _HAVE_KEYS)
    )


def _address(text: str, word: str) -> str:
    """An address without what it says of who asks."""
    if text[:4].lower() != "http" or "://" not in text[:8]:
        return text
    return _ADDRESS.sub(lambda found: f"{found[1]}{word}@" if found[1] else f"{found[2]}{word}", text)


def _header(text: str, word: str) -> str:
    """A line `Name: value` of a header, as lists of such have it."""
    found = _HEADER.fullmatch(text)
    if found is None or not _is_secret(found[1], "") or _is_name(found[2]):
        return text
    return f"{found[1]}: {word}"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value[:7].lower() == "$env://"
