"""Methods whose messages are looked at before protobuf makes objects of them, and then parsed."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.message import DecodeError

from server.errors import DetectorError, InvalidRequest
from server.rpc.fields import check
from server.rpc.status import Context, abort
from server.settings import Settings
from server.telemetry import Telemetry

# Far more than any sensible request has, and what each medium may add.
_FIELDS, _FIELDS_OF_A_MEDIUM = 10_000, 16

Handler = Any  # grpc.RpcMethodHandler, whose type parameters say nothing here
Parse = Callable[[bytes], Any]
Refused = Callable[[Context, DetectorError], Awaitable[NoReturn]]


class CheckedMethods:
    """Takes the server's place where generated code registers a service, so that its messages are checked.

    Args:
        server: that the service is for.
        files: that describe it.
        telemetry: where refused messages are recorded.
        settings: say how many media a message may have.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        files: Iterable[FileDescriptor],
        telemetry: Telemetry,
        settings: Settings,
    ) -> None:
        self._server = server
        self._services = {name.full_name: name for file in files for name in file.services_by_name.values()}
        self._telemetry = telemetry
        self._max_fields = _FIELDS + _FIELDS_OF_A_MEDIUM * settings.max_media_per_request

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Does nothing: the same methods come to `add_registered_method_handlers`."""

    def add_registered_method_handlers(self, service: str, methods: Mapping[str, Handler]) -> None:
        """Adds the methods of a service, checked, as generic ones.

        For each call grpc.aio waits anew for a call of every method that is registered, which took 7 % of the
        processor time of a small request.
        """
        described = self._services[service].methods_by_name
        checked = {
            name: self._checked(name, handler, described[name].input_type)
            for name, handler in methods.items()
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, checked),))

    def _checked(self, method: str, handler: Handler, kind: Descriptor) -> Handler:
        def parse(raw: bytes) -> Any:
            check(raw, kind, self._max_fields)
            try:
                return handler.request_deserializer(raw)
            except DecodeError as error:
                raise InvalidRequest(f"the message is no {kind.name}") from error

        refused = partial(refuse, self._telemetry, method)
        return (_streamed if handler.request_streaming else _unary)(handler, parse, refused)


async def refuse(telemetry: Telemetry, method: str, context: Context, error: DetectorError) -> NoReturn:
    """Records and ends a call that does not get as far as its method."""
    with suppress(DetectorError), telemetry.request(method, metadata=context.invocation_metadata()):
        raise error
    # Its traceback holds the message, and this frame, which holds it: a circle.
    await abort(context, error.with_traceback(None))


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


def _unary(handler: Handler, parse: Parse, refused: Refused) -> Handler:
    answer = handler.unary_unary or handler.unary_stream
    kind = grpc.unary_unary_rpc_method_handler
    if handler.unary_stream:
        kind = grpc.unary_stream_rpc_method_handler

    async def checked(raw: bytes, context: Context) -> Any:
        try:
            message = parse(raw)
        except InvalidRequest as error:
            await refused(context, error)
        return await answer(message, context)

    return kind(checked, None, handler.response_serializer)


def _streamed(handler: Handler, parse: Parse, refused: Refused) -> Handler:
    """The method meets InvalidRequest where it reads, and may leave it, as reflection does."""

    async def each(messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for raw in messages:
            message = parse(raw)
            del raw
            yield message
            del message

    async def unary(messages: AsyncIterator[bytes], context: Context) -> Any:
        return await handler.stream_unary(each(arriving(messages, context)), context)

    async def stream(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        try:
            async for response in handler.stream_stream(each(arriving(messages, context)), context):
                yield response
        except InvalidRequest as error:
            await refused(context, error)

    if handler.stream_unary:
        return grpc.stream_unary_rpc_method_handler(unary, None, handler.response_serializer)
    return grpc.stream_stream_rpc_method_handler(stream, None, handler.response_serializer)
