"""Calls a method of a gRPC server by a proto that is known only at run time. Needs the extra `grpc`.

grpcio calls and its protoc compiles: gRPC's own, alive, Apache-2.0; too large for a default install.
"""

import base64
import binascii
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_tools import protoc

from tollkeeper.core.hops import Hop

_INT64 = frozenset(
    (
        *(FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_SINT64),
        *(FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64),
    )
)
_UNAVAILABLE = 14
_MOST_WORDS = 500
_METADATA = re.compile(rb"(?!grpc-|content-|accept)[0-9a-z_.-]+(?<!-bin)")
_PRINTABLE = re.compile(rb"[ -~]*")
_OURS = frozenset(
    (
        *(b"host", b"te", b"connection", b"keep-alive", b"proxy-connection", b"trailer", b"transfer-encoding"),
        *(b"upgrade", b"expect", b"user-agent", b"date", b"server"),
    )
)
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class BadProto(ValueError):
    """The proto cannot be used."""


class BadFields(ValueError):
    """The request does not fit the method's message."""


class BadAnswer(ValueError):
    """The server's answer cannot be read."""


class Answer:
    """What a call came to: a message where `status` is 0."""

    def __init__(
        self, status: int, headers: list[tuple[bytes, bytes]], message: str = "", details: str = "", body: bytes = b""
    ) -> None:
        self.status = status
        self.headers = headers
        """What the server said before it, as HTTP has it."""
        self.message = message
        self.details = details
        """google.rpc.Status as base64, where the server sent one."""
        self.body = body

    @property
    def unreached(self) -> bool:
        """Whether nobody was there: the server has not begun."""
        return self.status == _UNAVAILABLE and "failed to connect to all addresses" in self.message


class Method:
    """One unary method of one service. Raises BadProto."""

    def __init__(self, content: str, service: str, method: str) -> None:
        pool = descriptor_pool.DescriptorPool()
        try:
            for file in _files(content).file:
                pool.Add(file)
            found = pool.FindServiceByName(service).methods_by_name.get(method)
        except (KeyError, TypeError) as error:
            raise BadProto(f"Undefined service {service}: {error}") from None
        if found is None:
            raise BadProto(f"Undefined service method: {service}/{method}")
        if found.client_streaming or found.server_streaming:
            raise BadProto(f"{service}/{method} streams; only methods with one message each way can be called")
        self.path = f"/{service}/{method}"
        self._pool = pool
        """Where what an Any holds is looked up."""
        self._asked = message_factory.GetMessageClass(found.input_type)
        self._answered = message_factory.GetMessageClass(found.output_type)

    def request(self, texts: Sequence[tuple[str, str]], values: Mapping[str, Any]) -> Message:
        """The message with the fields of a query or form, and of a JSON body; others are left out. Raises BadFields."""
        message = self._asked()
        try:
            given = {**_typed(message.DESCRIPTOR, texts), **values}
            json_format.ParseDict(given, message, ignore_unknown_fields=True, descriptor_pool=self._pool)
        except json_format.ParseError as error:
            raise BadFields(str(error)[:_MOST_WORDS]) from None
        return message

    def shown(self, body: bytes, options: frozenset[str]) -> dict[str, Any]:
        """An answer as JSON has it: fields named as in the proto, defaults included, 64-bit numbers as numbers.

        Raises BadAnswer.
        """
        try:
            message = self._answered.FromString(body)
            value: dict[str, Any] = json_format.MessageToDict(
                message,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence="no_default_values" not in options,
                use_integers_for_enums="enum_as_value" in options,
                descriptor_pool=self._pool,
            )
        except (DecodeError, json_format.Error, ValueError, TypeError, LookupError, RecursionError) as error:
            # A time beyond the calendar, an Any of a type that is not in the proto: json_format raises what it likes.
            raise BadAnswer(f"the answer is no {self._answered.DESCRIPTOR.full_name}: {error}"[:_MOST_WORDS]) from None
        if "int64_as_string" not in options:
            _numbers(message.DESCRIPTOR, value)
        return value


async def call(
    channels: "Channels",
    hop: Hop,
    address: str,
    method: Method,
    message: Message,
    headers: Sequence[tuple[bytes, bytes]],
    seconds: float,
) -> Answer:
    """Calls the method at `address`, which is one that nodes may have. A server's refusal is an answer too.

    Raises BadAnswer where the answer is too large.
    """
    unary = channels.to(hop, address).unary_unary(method.path)
    calling = unary(message.SerializeToString(), timeout=seconds, metadata=_metadata(headers))
    try:
        body = await calling
        return Answer(0, _headers(await calling.initial_metadata()), body=body)
    except grpc.aio.AioRpcError as error:
        words = error.details() or ""
        if "CLIENT: Received message larger" in words:  # not the server's refusal: it has the same status
            raise BadAnswer("the answer is too large") from None
        trailing = dict(error.trailing_metadata() or ())
        details = trailing.get("grpc-status-details-bin", b"")
        shown = base64.b64encode(details if isinstance(details, bytes) else details.encode()).decode()
        return Answer(int(error.code().value[0]), _headers(error.initial_metadata()), words, shown)


def _metadata(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Headers of HTTP/1.1 as gRPC takes them: those of the connection and of the body are its own."""
    return [
        (name.decode(), value.strip().decode())
        for name, value in headers
        if _METADATA.fullmatch(name) and name not in _OURS and _PRINTABLE.fullmatch(value)
    ]


def _headers(metadata: Any) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode(), value.encode())
        for name, value in metadata or ()
        if isinstance(value, str) and _METADATA.fullmatch(name.encode()) and name.encode() not in _OURS
    ]


class Channels:
    """Open connections by address, kept for the next call."""

    def __init__(self, most: int) -> None:
        """`most`: bytes of an answer."""
        self._most = most
        self._open: dict[tuple[Hop, str], grpc.aio.Channel] = {}

    def to(self, hop: Hop, address: str) -> grpc.aio.Channel:
        """The channel to a node at one of its addresses."""
        found = self._open.get((hop, address))
        if found is None:
            family = "ipv6" if ":" in address else "ipv4"
            place = f"{family}:[{address}]:{hop.port}" if family == "ipv6" else f"{family}:{address}:{hop.port}"
            options = [("grpc.default_authority", f"{hop.host}:{hop.port}"), ("grpc.enable_http_proxy", 0)]
            options.append(("grpc.max_receive_message_length", self._most))
            if hop.tls is None:
                found = grpc.aio.insecure_channel(place, options=options)
            else:
                options.append(("grpc.ssl_target_name_override", hop.tls.name))
                key, certificate = (each.encode() if each else None for each in (hop.tls.key, hop.tls.certificate))
                credentials = grpc.ssl_channel_credentials(private_key=key, certificate_chain=certificate)
                found = grpc.aio.secure_channel(place, credentials, options=options)
            self._open[hop, address] = found
        return found

    async def close(self) -> None:
        """Ends them."""
        channels, self._open = list(self._open.values()), {}
        for channel in channels:
            await channel.close(None)


def _files(content: str) -> descriptor_pb2.FileDescriptorSet:
    """A descriptor set in base64, or the text of a .proto file, compiled."""
    found = descriptor_pb2.FileDescriptorSet()
    try:
        found.ParseFromString(base64.b64decode(content, validate=True))
        if found.file:
            return found
    except (binascii.Error, ValueError, DecodeError):
        pass  # it is text, then
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "proto.proto"), Path(folder, "set.pb")
        source.write_text(content, "utf-8")
        known = Path(grpc_tools.__file__).parent / "_proto"
        arguments = ["protoc", f"-I{folder}", f"-I{known}", "--include_imports", f"--descriptor_set_out={made}"]
        if protoc.main([*arguments, str(source)]) != 0:
            raise BadProto("the text is not a valid proto")
        compiled = descriptor_pb2.FileDescriptorSet()
        compiled.ParseFromString(made.read_bytes())
        return compiled


def _typed(descriptor: Descriptor, texts: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """A query has only texts: those for truths are made truths, those of a repeated field a list; else the last counts."""
    found: dict[str, Any] = {}
    for name, text in texts:
        field = descriptor.fields_by_name.get(name)
        value: Any = text
        if field is not None and field.type == FieldDescriptor.TYPE_BOOL:
            value = _TRUTHS.get(text, text)
        if field is not None and _repeats(field):
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def _repeats(field: FieldDescriptor) -> bool:
    # Older versions have the label only, newer ones warn of it.
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def _numbers(descriptor: Descriptor, value: Any) -> None:
    """In place: 64-bit numbers, which JSON's mapping writes as texts, become numbers."""
    if not isinstance(value, dict) or descriptor.full_name.startswith("google.protobuf."):
        return
    for field in descriptor.fields:
        found = value.get(field.name)
        if found is None:
            continue
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            of = inner.fields_by_name["value"]
            if of.type in _INT64:
                value[field.name] = {key: int(each) for key, each in found.items()}
            elif of.message_type is not None:
                for each in found.values():
                    _numbers(of.message_type, each)
        elif inner is not None:
            for each in found if isinstance(found, list) else [found]:
                _numbers(inner, each)
        elif field.type in _INT64:
            value[field.name] = [int(each) for each in found] if isinstance(found, list) else int(found)
