"""Calls that wait for a caller who says no more."""

import queue
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from tests.media_requests import header

Metadata = tuple[tuple[str, str], ...]


@contextmanager
def unfinished(begin: Callable[[Iterator[Any]], Any], *messages: Any) -> Iterator[Any]:
    """The call that `begin` makes of its messages: it has sent these, and never ends by itself."""
    outgoing: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for message in messages:
        outgoing.put(message)
    call = begin(iter(outgoing.get, None))
    try:
        yield call
    finally:
        call.cancel()
        outgoing.put(None)


def unfinished_upload(
    stub: DetectorStub, *parts: pb.DetectUploadRequest, seconds: float = 60, metadata: Metadata = ()
) -> AbstractContextManager[Any]:
    """An upload that has sent these parts, and never ends by itself before its deadline."""
    return unfinished(partial(stub.DetectUpload.future, timeout=seconds, metadata=metadata), *parts)


def announced_upload(stub: DetectorStub, size: int, metadata: Metadata = ()) -> Any:
    """An upload that says it has so many bytes, and ends without any: it always fails."""
    return stub.DetectUpload.future(iter([header(size_bytes=size)]), 30, metadata)
