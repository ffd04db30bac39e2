"""Messages as they arrive: looked at before protobuf makes objects of them, and parsed.

A few bytes can become a large object, so that a message of the allowed size could take gigabytes and
seconds of the thread that serves all others.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.message import DecodeError

from server.errors import InvalidRequest
from server.rpc.status import abort
from server.telemetry import Telemetry

# Whatever these hold cannot become much.
_SMALL_BYTES = 64 * 1024
# Far more than any request has that says something once.
_FIELDS = 10_000
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5

Handler = Any  # grpc.RpcMethodHandler, whose type parameters say nothing here
Context = Any
Parse = Callable[[bytes], Any]
Refuse = Callable[[Context, InvalidRequest], Awaitable[NoReturn]]


class CheckedMethods:
    """What generated code registers a service with, in place of a server: its messages are checked.

    Args:
        server: that the service is for.
        files: that describe it.
        telemetry: where refused messages are recorded.
        more_fields: than usual, that a message may have.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        files: Iterable[FileDescriptor],
        telemetry: Telemetry,
        more_fields: int = 0,
    ) -> None:
        self._server = server
        self._services = {name.full_name: name for file in files for name in file.services_by_name.values()}
        self._telemetry = telemetry
        self._max_fields = _FIELDS + more_fields

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Does nothing: the same methods are registered next."""

    def add_registered_method_handlers(self, service: str, methods: Mapping[str, Handler]) -> None:
        """As of grpc.aio.Server."""
        described = self._services[service].methods_by_name
        checked = {
            name: self._checked(name, handler, described[name].input_type)
            for name, handler in methods.items()
        }
        self._server.add_registered_method_handlers(service, checked)

    def _checked(self, method: str, handler: Handler, kind: Descriptor) -> Handler:
        def parse(raw: bytes) -> Any:
            check(raw, kind, self._max_fields)
            try:
                return handler.request_deserializer(raw)
            except DecodeError as error:
                raise InvalidRequest(f"the message is no {kind.name}") from error

        async def refuse(context: Context, error: InvalidRequest) -> NoReturn:
            try:
                with self._telemetry.request(method, metadata=context.invocation_metadata()):
                    raise error
            except InvalidRequest:
                # Its traceback holds the message, and this frame, which holds it: a circle.
                await abort(context, error.with_traceback(None))

        if handler.request_streaming:
            return _streamed(handler, parse)
        return _unary(handler, parse, refuse)


def check(raw: bytes, kind: Descriptor, max_fields: int = _FIELDS) -> None:
    """Raises InvalidRequest if a message of this kind is malformed, or has more fields in all its parts."""
    if len(raw) <= _SMALL_BYTES:
        return
    parts: list[tuple[int, int, Descriptor]] = [(0, len(raw), kind)]
    fields = 0
    try:
        while parts:
            place, end, kind = parts.pop()
            while place < end:
                fields += 1
                if fields > max_fields:
                    raise InvalidRequest(f"the message has more than {max_fields} fields")
                tag, place = _varint(raw, place)
                start, place = _value(raw, place, tag & 7)
                if place > end:
                    raise InvalidRequest("the message is broken off")
                known = kind.fields_by_number.get(tag >> 3)
                if tag & 7 == _BYTES and known and known.message_type:
                    parts.append((start, place, known.message_type))
    except IndexError as error:
        raise InvalidRequest("the message is broken off") from error


def _value(raw: bytes, place: int, wire: int) -> tuple[int, int]:
    """Where the content of a field starts, and where it ends."""
    if wire == _BYTES:
        size, place = _varint(raw, place)
        return place, place + size
    if wire == _VARINT:
        return place, _varint(raw, place)[1]
    if wire in (_FIXED_32, _FIXED_64):
        return place, place + (4 if wire == _FIXED_32 else 8)
    raise InvalidRequest("the message has fields that are none")


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = raw[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise InvalidRequest("the message has a number that is too long")


async def arriving(messages: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
    """The messages of a call, each dropped when the next is asked for.

    gRPC's own iterator keeps the last one as long as the call is open, and itself in a circle.
    """
    if inspect.isasyncgen(messages):  # of an interceptor
        async for raw in messages:
            yield raw
            del raw
        return
    while (raw := await context.read()) is not grpc.aio.EOF:
        yield raw
        del raw


def _unary(handler: Handler, parse: Parse, refuse: Refuse) -> Handler:
    answer = handler.unary_unary or handler.unary_stream
    kind = grpc.unary_unary_rpc_method_handler
    if handler.unary_stream:
        kind = grpc.unary_stream_rpc_method_handler

    async def parsed(raw: bytes, context: Context) -> Any:
        try:
            return parse(raw)
        except InvalidRequest as error:
            await refuse(context, error)

    async def checked(raw: bytes, context: Context) -> Any:
        return await answer(await parsed(raw, context), context)

    return kind(checked, None, handler.response_serializer)


def _streamed(handler: Handler, parse: Parse) -> Handler:
    """The method meets InvalidRequest where it reads."""

    async def each(messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for raw in messages:
            message = parse(raw)
            del raw
            yield message
            del message

    async def unary(messages: AsyncIterator[bytes], context: Context) -> Any:
        return await handler.stream_unary(each(arriving(messages, context)), context)

    async def stream(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        async for response in handler.stream_stream(each(arriving(messages, context)), context):
            yield response

    if handler.stream_unary:
        return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)
    return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)
