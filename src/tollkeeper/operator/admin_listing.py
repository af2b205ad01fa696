"""Lists of resources as the Admin API shows them: filters first, pages after."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from tollkeeper.core import patterns
from tollkeeper.core.patterns import BadPattern
from tollkeeper.core.revisions import Stored
from tollkeeper.operator.admin_answers import Refusal, answer

_LEAST, _MOST = 10, 500


def key(kind: str, id: str) -> str:
    """A resource's path in the store, as APISIX names it."""
    if kind == "credentials":
        consumer, _, credential = id.partition("/")
        return f"/apisix/consumers/{consumer}/credentials/{credential}"
    return f"/apisix/{kind}/{id}"


def shown(kind: str, id: str, stored: Stored) -> dict[str, Any]:
    """One resource in its envelope."""
    return {
        "key": key(kind, id),
        "value": stored.value,
        "createdIndex": stored.created,
        "modifiedIndex": stored.modified,
    }


def listed(found: Sequence[tuple[str, Stored]], kind: str, query: Mapping[str, str]) -> Response:
    """`{"list": […], "total": N}`. Raises Refusal."""
    kept = [(id, stored) for id, stored in found if _fits(kind, stored.value, query)]
    total = len(kept)
    if "page" in query and "page_size" in query:
        size = _number(query["page_size"])
        if size is None or not _LEAST <= size <= _MOST:
            raise Refusal(400, f"page_size must be between {_LEAST} and {_MOST}")
        page = max(_number(query["page"]) or 1, 1)
        kept = sorted(kept, key=lambda pair: pair[1].created)[(page - 1) * size : page * size]
    return answer(200, {"list": [shown(kind, id, stored) for id, stored in kept], "total": total})


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d{1,9}", text) else None


def _fits(kind: str, value: Mapping[str, Any], query: Mapping[str, str]) -> bool:
    name, label, uri = query.get("name"), query.get("label"), query.get("uri")
    if name and not _search(name, str(value.get("name", ""))):
        return False
    if label is not None and label not in value.get("labels", {}):
        return False
    if uri:
        uris = value.get("uris") or [value.get("uri", "")]
        if not any(_search(uri, each) for each in uris):
            return False
    if "filter" in query and kind == "routes":
        return all(str(value.get(field)) == wanted for field, wanted in parse_qsl(query["filter"]))
    return True


def _search(pattern: str, text: str) -> bool:
    try:
        return patterns.compiled(pattern).search(text) is not None
    except BadPattern:
        raise Refusal(400, {"error_msg": f"invalid regex: {pattern}"}) from None
