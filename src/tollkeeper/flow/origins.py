"""What a provider keeps for a caller (responses, files, batches, …) is its tenant's, and is asked for where it was made.

The ids of what answers say was made are remembered, with the account that keeps it and the key that had it made. Of a call
that names one of them:

Rule 1: where another tenant made it, there is nothing of that name. Nothing is sent.
Rule 2: of several accounts it goes to the one that keeps it, and nowhere else.
Rule 3: who looks at a thing, or changes it, does not become its maker.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tollkeeper.core.account import Account
from tollkeeper.core.call import Call, Upload
from tollkeeper.core.errors import CallerError, GateError
from tollkeeper.core.limits import Positive
from tollkeeper.core.origin import Origin, made_by
from tollkeeper.core.ports import Origins
from tollkeeper.flow import batch_lines
from tollkeeper.flow.made_ids import Made
from tollkeeper.flow.named_ids import in_path, is_surely_id, named
from tollkeeper.flow.routing import Routing

_PASSING = ("responses", "chat/completions")
"""What is made there its provider itself forgets after a month."""


class OwnershipOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[ownership]"""

    unknown: Literal["allow", "refuse"] = "allow"
    """What happens to a request that names what nobody is known to have made."""
    pages: Annotated[int, Meta(ge=1, le=1000)] = 20
    """Of a list are read at most, until there is something on one that the caller may see."""
    longest_page: Positive = 16 * 1024 * 1024
    """Bytes of one."""


class Bond(Struct, frozen=True):
    """What a call names of what is known: the id, and the account that keeps it. And what it names that nobody knows."""

    kept: tuple[str, str] | None = None
    unknown: str | None = None
    names: Sequence[str] = ()
    """All that it names."""


class _Params(Struct):
    model: str | None = None


class _Part(Struct):
    params: _Params | None = None


_FREE = Bond()
_decode_parts = msgspec.json.Decoder(list[_Part]).decode


class Bonds:
    """One gate's. `configure` takes effect for calls that come after."""

    def __init__(self, origins: Origins, options: OwnershipOptions) -> None:
        self.origins = origins
        self.configure(options)

    def configure(self, options: OwnershipOptions) -> None:
        self.options = options
        self.watchful = self.origins.any or options.unknown == "refuse"
        """Whether anything can be named that is not the caller's."""

    def of(self, routing: Routing, call: Call) -> Bond:
        """Raises CallerError where the call names what another tenant made, and GateError."""
        names = named(call)
        if not names:
            return _FREE
        known = self.origins.find(names) if self.origins.any else {}
        kept = unknown = None
        for name in names:
            origin = known.get(name)
            if origin is not None and origin.known:
                if not (origin.is_of(call.key) or _shared(routing, origin.account)):
                    raise not_found(call, name)
            elif unknown is None and self.options.unknown == "refuse" and is_surely_id(name, call):
                unknown = name
            if kept is None and origin is not None:
                kept = (name, origin.account)
        return Bond(kept if call.provider is None and routing.several else None, unknown, names)

    def watch(self, routing: Routing, call: Call) -> None:
        """A batch's file that the call uploads is looked through, too, while it goes by."""
        upload = call.body
        if not (self.watchful and isinstance(upload, Upload) and batch_lines.is_form(call)):
            return

        def refusal(names: Sequence[str]) -> CallerError | None:
            known = self.origins.find(names) if names else {}
            for name in names:
                origin = known.get(name)
                if origin is None or not origin.known:
                    if self.options.unknown == "refuse":
                        return not_found(call, name)
                elif not (origin.is_of(call.key) or _shared(routing, origin.account)):
                    return not_found(call, name)
            return None

        kind = call.named.get(b"content-type", b"").decode("latin-1")
        escaped = CallerError(
            "A line of the file has a letter, a digit, '-' or '_' as an escape (\\u0061): write it as it is.",
            code="invalid_value",
            param="file",
        )
        call.body = batch_lines.watched(upload, kind, refusal, escaped)

    def check(self, call: Call, bond: Bond, accounts: Iterable[Account]) -> None:
        """Raises CallerError where one of the accounts that the call may go to is nobody's but the makers'."""
        if bond.unknown is not None and not all(account.shared for account in accounts):
            raise not_found(call, bond.unknown)

    def remember(self, call: Call, made: Made, account: str, before: Sequence[str]) -> None:
        """What the call named was there `before`: it, and what belongs to it, is whose it was."""
        if not made or not account:
            return
        origin = made_by(call.key, account)
        ids = made.others
        if made.id is not None and made.id in before:
            known = self._known([made.id])
            if known is None:
                return
            origin = known.get(made.id) or Origin(account)
            if origin.account != account:
                return  # somebody asked another account, by name
            if not origin.known:
                ids = (made.id, *ids)
        elif made.id is not None:
            ids = (made.id, *ids)
        fresh = [name for name in ids if name == made.id or name not in before]
        if call.path in _PASSING:
            self.origins.remember(fresh, origin, lasting=False)
            self.watchful = True
        else:
            self.belongs(fresh, origin)

    def belongs(self, ids: Sequence[str], origin: Origin) -> None:
        """What is not known yet of these has that origin: a provider may give what it had when it gets the same again."""
        known = self._known(ids) if ids else {}
        fresh = [name for name in ids if known is None or name not in known]
        if fresh:
            self.origins.remember(fresh, origin, lasting=True)
            self.watchful = True

    def forget(self, name: str) -> None:
        """It is there no more."""
        if name in (self._known([name]) or ()):
            self.origins.forget(name)

    def _known(self, ids: Sequence[str]) -> Mapping[str, Origin] | None:
        """None where the store cannot be read: an answer that is there is not lost for that."""
        try:
            return self.origins.find(ids)
        except GateError:
            return None


def models_of_batch(call: Call) -> set[str]:
    """The models that a batch names whose requests stand in its body, as Anthropic's do; none where it is no such batch."""
    member = call.members.get("requests")
    if member is None:
        return set()
    try:
        parts = _decode_parts(member)
    except (msgspec.DecodeError, RecursionError):
        return set()  # what is no batch its provider will say
    return {part.params.model for part in parts if part.params is not None and part.params.model}


def _shared(routing: Routing, account: str) -> bool:
    found = routing.accounts.get(account)
    return found is not None and found.shared


def not_found(call: Call, name: str) -> CallerError:
    """Worded as OpenAI words what does not exist, so that nobody learns that it does."""
    shown = name[:64]
    previous = call.members.get("previous_response_id")
    if previous is not None and msgspec.json.decode(previous) == name:
        return CallerError(
            f"Previous response with id '{shown}' not found.",
            status=404,
            code="previous_response_not_found",
            param="previous_response_id",
        )
    first = call.path.partition("/")[0]
    if first == "batches" and name in in_path(call.path):
        return CallerError(f"No batch found with id '{shown}'.", status=404, code="batch_not_found")
    if first == "files" and name in in_path(call.path):
        return CallerError(f"No such File object: {shown}", status=404, code="file_not_found", param="id")
    return CallerError(f"There is nothing with the id '{shown}'.", status=404, code="object_not_found", param="id")
