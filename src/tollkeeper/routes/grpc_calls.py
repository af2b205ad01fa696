"""Calls a method of a gRPC server by a proto that is known only at run time. Needs the extra `grpc`.

grpcio calls and its protoc compiles: gRPC's own, alive, Apache-2.0; too large for a default install.
"""

import base64
import binascii
import tempfile
from collections.abc import Mapping
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
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


class BadProto(ValueError):
    """The proto cannot be used."""


class BadFields(ValueError):
    """The request does not fit the method's message."""


class Answer:
    """What a call came to: a message where `status` is 0."""

    def __init__(self, status: int, message: str = "", details: str = "", body: Message | None = None) -> None:
        self.status = status
        self.message = message
        self.details = details
        """google.rpc.Status as base64, where the server sent one."""
        self.body = body


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
        self._asked = message_factory.GetMessageClass(found.input_type)
        self.answered = message_factory.GetMessageClass(found.output_type)

    def request(self, values: Mapping[str, Any]) -> Message:
        """The message with those fields; others are left out. Raises BadFields."""
        message = self._asked()
        given = {name: _plain(message.DESCRIPTOR, name, value) for name, value in values.items()}
        try:
            json_format.ParseDict(given, message, ignore_unknown_fields=True)
        except json_format.ParseError as error:
            raise BadFields(str(error)) from None
        return message

    def shown(self, message: Message, options: frozenset[str]) -> dict[str, Any]:
        """The message as JSON has it: fields named as in the proto, defaults included, 64-bit numbers as numbers."""
        value: dict[str, Any] = json_format.MessageToDict(
            message,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence="no_default_values" not in options,
            use_integers_for_enums="enum_as_value" in options,
        )
        if "int64_as_string" not in options:
            _numbers(message.DESCRIPTOR, value)
        return value


async def call(
    channels: "Channels", hop: Hop, address: str, method: Method, message: Message, seconds: float | None
) -> Answer:
    """Calls the method at `address`, which is one that nodes may have. A server's refusal is an answer too."""
    unary = channels.to(hop, address).unary_unary(
        method.path,
        request_serializer=lambda each: each.SerializeToString(),
        response_deserializer=method.answered.FromString,
    )
    try:
        return Answer(0, body=await unary(message, timeout=seconds))
    except grpc.aio.AioRpcError as error:
        trailing = dict(error.trailing_metadata() or ())
        details = trailing.get("grpc-status-details-bin", b"")
        shown = base64.b64encode(details if isinstance(details, bytes) else details.encode()).decode()
        return Answer(int(error.code().value[0]), error.details() or "", shown)


class Channels:
    """Open connections by address, kept for the next call."""

    def __init__(self) -> None:
        self._open: dict[tuple[Hop, str], grpc.aio.Channel] = {}

    def to(self, hop: Hop, address: str) -> grpc.aio.Channel:
        """The channel to a node at one of its addresses."""
        found = self._open.get((hop, address))
        if found is None:
            family = "ipv6" if ":" in address else "ipv4"
            place = f"{family}:[{address}]:{hop.port}" if family == "ipv6" else f"{family}:{address}:{hop.port}"
            options = [("grpc.default_authority", f"{hop.host}:{hop.port}"), ("grpc.enable_http_proxy", 0)]
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


def _plain(descriptor: Descriptor, name: str, value: Any) -> Any:
    """A query has only texts: those for truths are made truths."""
    field = descriptor.fields_by_name.get(name)
    if field is not None and field.type == FieldDescriptor.TYPE_BOOL and isinstance(value, str):
        return _TRUTHS.get(value, value)
    return value


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
