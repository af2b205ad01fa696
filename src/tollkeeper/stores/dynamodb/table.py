"""One DynamoDB table, asked over HTTP: ours, as AWS's library would block the loop and triple the time to start.

Items have a partition `pk` and a place in it `sk`, both texts; every other member is a text or an integer.
"""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import ConfigError, GateError, UpstreamError
from tollkeeper.core.ids import Clock
from tollkeeper.core.ports import Outbound
from tollkeeper.wire import aws_signature
from tollkeeper.wire.aws_signature import Credentials

Item = dict[str, str | int]
Values = Mapping[str, str | int]

_TRIES = 8
_FIRST_WAIT = 0.02
_AGAIN = frozenset(
    (
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
        "TransactionInProgressException",
    )
)
_PATIENCE = Patience(connect=2.0, first_byte=5.0, idle=5.0, total=10.0)
_LARGEST = 16 * 1024 * 1024
_MEDIA = (b"content-type", b"application/x-amz-json-1.0")


class Place(msgspec.Struct, frozen=True):
    """Which table, where, and who asks."""

    name: str
    region: str
    url: str
    credentials: Callable[[], Credentials]
    """Asked each time: those of a Lambda are replaced while it lives."""


class Cancelled(Exception):
    """A transaction was not made. `reasons`: for each of its parts a code, "None" where it was not that part's fault, and
    the item that was there."""

    def __init__(self, reasons: list[tuple[str, Item | None]]) -> None:
        super().__init__(", ".join(code for code, _ in reasons))
        self.reasons = reasons


class Table:
    """Asks from the event loop. What is busy is asked again, with waits between that grow."""

    def __init__(self, place: Place, outbound: Outbound, now: Clock, draw: Callable[[], float]) -> None:
        self.place = place
        self._outbound = outbound
        self._now = now
        self._draw = draw

    async def get(self, pk: str, sk: str) -> Item | None:
        """The item, as it is now."""
        key = _packed({"pk": pk, "sk": sk})
        found = await self.ask("GetItem", {"TableName": self.place.name, "Key": key, "ConsistentRead": True})
        return _item(found["Item"]) if "Item" in found else None

    async def query(self, pk: str, first: str = " ", last: str = "~") -> list[Item]:
        """The items of a partition from `first` to `last`, both with them, as they are now."""
        ask = _query(self.place.name, pk, first, last)
        items: list[Item] = []
        while True:
            page = await self.ask("Query", ask)
            items += map(_item, page["Items"])
            if "LastEvaluatedKey" not in page:
                return items
            ask["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    async def put(self, item: Item, *, fresh: bool = False) -> bool:
        """Puts it in; a `fresh` one only where there is none, else it answers False."""
        try:
            await self.ask("PutItem", _put(self.place.name, item, fresh))
        except Cancelled:
            return False
        return True

    async def delete(self, pk: str, sk: str) -> None:
        """Safe to say again."""
        await self.ask("DeleteItem", {"TableName": self.place.name, "Key": _packed({"pk": pk, "sk": sk})})

    async def take(self, pk: str, sk: str) -> Item | None:
        """Deletes it; what it was, for one of all who ask."""
        ask = {"TableName": self.place.name, "Key": _packed({"pk": pk, "sk": sk}), "ReturnValues": "ALL_OLD"}
        found = await self.ask("DeleteItem", ask)
        return _item(found["Attributes"]) if found.get("Attributes") else None

    async def transact(self, parts: Sequence[Mapping[str, Any]], token: str) -> None:
        """All of the parts (see `put_part` and the like) or none; again with the same token changes nothing for minutes.

        Raises Cancelled where a condition does not hold, GateError where the table cannot be asked.
        """
        await self.ask("TransactWriteItems", {"TransactItems": list(parts), "ClientRequestToken": token})

    def put_part(self, item: Item, *, fresh: bool) -> dict[str, Any]:
        return {"Put": _put(self.place.name, item, fresh)}

    def replace_part(self, item: Item, *, seen: int | None) -> dict[str, Any]:
        """Puts an item whose member `n` was `seen`; None: where there was none."""
        return _replace(self.place.name, item, seen)

    def delete_part(self, pk: str, sk: str) -> dict[str, Any]:
        return {"Delete": {"TableName": self.place.name, "Key": _packed({"pk": pk, "sk": sk})}}

    def add_part(self, pk: str, sk: str, amounts: Mapping[str, int], most: Mapping[str, int]) -> dict[str, Any]:
        """Adds to members of an item that is there, where those named in `most` are not above that before."""
        condition = ["attribute_exists(pk)", *(f"{name} <= :most_{name}" for name in most)]
        values: dict[str, int] = {f":{name}": amount for name, amount in amounts.items()}
        values |= {f":most_{name}": limit for name, limit in most.items()}
        return {
            "Update": {
                "TableName": self.place.name,
                "Key": _packed({"pk": pk, "sk": sk}),
                "UpdateExpression": "ADD " + ", ".join(f"{name} :{name}" for name in amounts),
                "ConditionExpression": " AND ".join(condition),
                "ExpressionAttributeValues": _packed(values),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    async def ask(self, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """One action of DynamoDB's. Raises Cancelled and GateError (store_unavailable)."""
        body = msgspec.json.encode(payload)
        why = ""
        for tried in range(_TRIES):
            if tried:
                await asyncio.sleep(_FIRST_WAIT * 2 ** (tried - 1) * (0.5 + self._draw()))
            headers = _headers(self.place, action, body, self._now())
            try:
                sent = await self._outbound.send(b"POST", self.place.url, headers, body, _PATIENCE)
                await sent.head()
                answer, whole = await sent.read(_LARGEST)
            except UpstreamError as error:
                why = error.message
                continue
            if not whole:
                sent.close()
                raise _unavailable("an answer without end")
            found, why = _read(sent.status, answer)
            if found is not None:
                return found
        raise _unavailable(why)


class BlockingTable:
    """The same for the few who have no loop: commands, and the keys that a gate reads at its start."""

    def __init__(self, place: Place, now: Clock) -> None:
        self.place = place
        self._now = now

    def get(self, pk: str, sk: str) -> Item | None:
        key = _packed({"pk": pk, "sk": sk})
        found = self._ask("GetItem", {"TableName": self.place.name, "Key": key, "ConsistentRead": True})
        return _item(found["Item"]) if "Item" in found else None

    def query(self, pk: str, first: str = " ", last: str = "~") -> list[Item]:
        ask = _query(self.place.name, pk, first, last)
        items: list[Item] = []
        while True:
            page = self._ask("Query", ask)
            items += map(_item, page["Items"])
            if "LastEvaluatedKey" not in page:
                return items
            ask["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def transact(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Raises Cancelled and GateError."""
        self._ask("TransactWriteItems", {"TransactItems": list(parts)})

    def put_part(self, item: Item, *, seen: int | None) -> dict[str, Any]:
        """Puts an item whose member `n` was `seen`; None: where there was none."""
        return _replace(self.place.name, item, seen)

    def count_part(self, pk: str, sk: str) -> dict[str, Any]:
        """Adds one to the member `n` of an item that need not be there."""
        return {
            "Update": {
                "TableName": self.place.name,
                "Key": _packed({"pk": pk, "sk": sk}),
                "UpdateExpression": "ADD n :one",
                "ExpressionAttributeValues": _packed({":one": 1}),
            }
        }

    def _ask(self, action: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        body = msgspec.json.encode(payload)
        why = ""
        for _ in range(_TRIES):
            headers = _headers(self.place, action, body, self._now())
            named = {name.decode(): value.decode() for name, value in headers}
            request = urllib.request.Request(self.place.url, body, named)
            try:
                with urllib.request.urlopen(request, timeout=_PATIENCE.total) as answer:
                    status, data = answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    status, data = error.code, error.read()
            except OSError as error:
                why = str(error)
                continue
            found, why = _read(status, data)
            if found is not None:
                return found
        raise _unavailable(why)


def _headers(place: Place, action: str, body: bytes, now: float) -> list[tuple[bytes, bytes]]:
    headers = [_MEDIA, (b"x-amz-target", b"DynamoDB_20120810." + action.encode())]
    return aws_signature.signed(place.credentials(), place.region, "dynamodb", place.url, headers, body, now)


def _query(table: str, pk: str, first: str, last: str) -> dict[str, Any]:
    return {
        "TableName": table,
        "ConsistentRead": True,
        "KeyConditionExpression": "pk = :pk AND sk BETWEEN :first AND :last",
        "ExpressionAttributeValues": _packed({":pk": pk, ":first": first, ":last": last}),
    }


def _put(table: str, item: Item, fresh: bool) -> dict[str, Any]:
    condition = {"ConditionExpression": "attribute_not_exists(pk)"} if fresh else {}
    return {"TableName": table, "Item": _packed(item), **condition}


def _replace(table: str, item: Item, seen: int | None) -> dict[str, Any]:
    put = _put(table, item, fresh=seen is None)
    if seen is not None:
        put |= {"ConditionExpression": "n = :seen", "ExpressionAttributeValues": _packed({":seen": seen})}
    return {"Put": put}


def _read(status: int, answer: bytes) -> tuple[dict[str, Any] | None, str]:
    """What it says; or None, and why it has to be asked again. Raises Cancelled and GateError."""
    try:
        said: dict[str, Any] = msgspec.json.decode(answer, type=dict[str, Any])
    except msgspec.DecodeError:
        return None, f"status {status}"
    if status == 200:
        return said, ""
    kind = str(said.get("__type", "")).rpartition("#")[2]
    if kind == "ConditionalCheckFailedException":
        raise Cancelled([("ConditionalCheckFailed", None)])
    if kind == "TransactionCanceledException":
        reasons = [
            (str(each.get("Code")), _item(each["Item"]) if each.get("Item") else None) for each in _reasons(said)
        ]
        if any(code == "ConditionalCheckFailed" for code, _ in reasons):
            raise Cancelled(reasons)
        return None, kind
    if status >= 500 or kind in _AGAIN:
        return None, kind or f"status {status}"
    raise _unavailable(kind or f"status {status}")


def _reasons(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(said.get("CancellationReasons") or [])


def _packed(item: Values) -> dict[str, dict[str, str]]:
    return {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in item.items()}


def _item(packed: Mapping[str, Mapping[str, str]]) -> Item:
    return {name: int(value["N"]) if "N" in value else value["S"] for name, value in packed.items()}


def _unavailable(why: str) -> GateError:
    return GateError(f"The store cannot be asked: {why}.", code="store_unavailable")


def place_of(environment: Mapping[str, str]) -> Place:
    """The table. Raises ConfigError where the environment does not name it."""
    missing = [name for name in ("TOLLKEEPER_TABLE", "AWS_REGION", "AWS_ACCESS_KEY_ID") if not environment.get(name)]
    if missing:
        raise ConfigError([f"{name} is not set." for name in missing])
    region = environment["AWS_REGION"]
    url = environment.get("TOLLKEEPER_DYNAMODB_URL") or f"https://dynamodb.{region}.amazonaws.com/"

    def credentials() -> Credentials:
        token = environment.get("AWS_SESSION_TOKEN")
        return Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], token or None)

    return Place(environment["TOLLKEEPER_TABLE"], region, url, credentials)
