"""From files, bytes and URIs to requests."""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, TypedDict, TypeVar

import grpc

from clients.errors import DetectionError
from deepfake.v1 import detector_pb2 as pb

Source = str | os.PathLike[str] | bytes | pb.Medium
"""One medium: a path; a URI (text with "://") that the server reads; an encoded file's bytes; or a
`Medium` as it is, for decoded frames and sound, or to state the kind."""

Media = Source | Sequence[Source]
"""One medium, or several of one subject that are fused into one verdict."""

Answer = pb.DetectResponse | DetectionError
"""What becomes of one request of many: an error of its own does not stop the others."""

UPLOAD_ABOVE = 4 * 2**20
"""Bytes. gRPC's default limit on one message, so that every server and proxy lets it through."""

CHUNK_BYTES = 2**20

MAX_NAME = 1024
"""Characters that the server takes; names that are not UTF-8 grow by `utf8`."""

MODALITIES = {
    "image": pb.MODALITY_IMAGE,
    "video": pb.MODALITY_VIDEO,
    "audio": pb.MODALITY_AUDIO,
}


PRIORITIES = {
    "batch": pb.PRIORITY_BATCH,
    "normal": pb.PRIORITY_NORMAL,
    "interactive": pb.PRIORITY_INTERACTIVE,
}

T = TypeVar("T")


class Options(TypedDict, total=False):
    """What to judge and how; what is absent is the model's own choice. Ranges as in DetectOptions.

    Attributes:
        modalities: judge only these.
        threshold: in [0, 1]; at or above it FAKE, below it REAL.
        frames_per_video: frames sampled evenly over a video.
        timeline: return the probability of every frame, clip and window.
        heatmap: return a class-activation map with every frame of the timeline.
        weights: fusion weights, for example {"image": 0.7, "audio": 0.3}.
        priority: what goes first while the server is short of capacity; "normal" if absent.
    """

    modalities: Sequence[Literal["image", "video", "audio"]] | None
    threshold: float | None
    frames_per_video: int | None
    timeline: bool
    heatmap: bool
    weights: Mapping[Literal["image", "video", "audio"], float] | None
    priority: Literal["batch", "normal", "interactive"] | None


@dataclass(frozen=True, slots=True)
class Upload:
    """One encoded medium that is too large for one message."""

    encoded: bytes | Path
    header: pb.DetectUploadHeader

    @contextmanager
    def parts(self) -> Iterator[Iterator[pb.DetectUploadRequest]]:
        """Header and chunks, for a call within the context.

        Raises:
            DetectionError: the file cannot be read, from its begin or further in.
        """
        failures: list[DetectionError] = []
        with _readable():
            opened = self.encoded.open("rb") if isinstance(self.encoded, Path) else io.BytesIO(self.encoded)
        try:
            # Not left to the generator, which gRPC drops where the call ends.
            with opened:
                yield self._parts(opened, failures)
        except grpc.RpcError as error:
            if failures:  # of which gRPC only says that there was an exception
                raise failures.pop() from error
            raise

    def _parts(self, opened: BinaryIO, failures: list[DetectionError]) -> Iterator[pb.DetectUploadRequest]:
        yield pb.DetectUploadRequest(header=self.header)
        try:
            with _readable(self.encoded):
                while chunk := opened.read(CHUNK_BYTES):
                    yield pb.DetectUploadRequest(chunk=chunk)
        except DetectionError as error:
            failures.append(error)
            raise
        except ValueError:  # closed: the call has ended
            return


def prepare(media: Media, options: Options) -> pb.DetectRequest | Upload:
    """What to send.

    Raises:
        DetectionError: a file cannot be read (UNREADABLE_FILE).
        ValueError: no medium, an option that does not exist, or a number that cannot be sent.
    """
    sources = [media] if isinstance(media, (str, os.PathLike, bytes, pb.Medium)) else list(media)
    if not sources:
        raise ValueError("no medium was given")
    message = _options(options)
    with _readable():
        if len(sources) == 1 and (upload := _upload(sources[0], message)):
            return upload
        return pb.DetectRequest(media=[_medium(source) for source in sources], options=message)


def prepare_streamed(media: Media, options: Options, request_id: str) -> pb.DetectRequest | None:
    """One request of a stream; None if the medium cannot go that way: too large, or not readable."""
    try:
        request = prepare(media, options)
    except DetectionError:
        return None
    if isinstance(request, Upload) or request.ByteSize() > UPLOAD_ABOVE:
        return None
    request.id = request_id
    return request


@contextmanager
def _readable(path: object = None) -> Iterator[None]:
    """Turns errors of files into `DetectionError`; those of reading do not say of which `path`."""
    try:
        yield
    except OSError as error:
        problem = f"{error.filename or path}: {error.strerror}"
        raise DetectionError("UNREADABLE_FILE", problem, "Check the path and its permissions.") from error


def _options(options: Options) -> pb.DetectOptions:
    given = {name: value for name, value in options.items() if value is not None}
    modalities = [_known("modality", name, MODALITIES) for name in given.pop("modalities", ())]  # type: ignore
    if "priority" in given:
        given["priority"] = _known("priority", given["priority"], PRIORITIES)
    return pb.DetectOptions(modalities=modalities, **given)  # type: ignore


def _known(what: str, name: object, numbers: Mapping[str, T]) -> T:
    if name not in numbers:
        raise ValueError(f"no such {what}: {name}; there are {', '.join(numbers)}")
    return numbers[str(name)]


def is_uri(source: Source) -> bool:
    """Whether the server is to read it."""
    return isinstance(source, str) and "://" in source


def _encoded(source: Source) -> bytes | Path | None:
    """Where the encoded file is; None if it is not ours to send (a URI) or there is none."""
    if isinstance(source, pb.Medium):
        return source.content if source.WhichOneof("source") == "content" else None
    if isinstance(source, bytes):
        return source
    return None if is_uri(source) else Path(source)


def _medium(source: Source) -> pb.Medium:
    if isinstance(source, pb.Medium):
        return source
    encoded = _encoded(source)
    if encoded is None:
        return pb.Medium(uri=sendable(str(source)))
    if isinstance(encoded, bytes):
        return pb.Medium(content=encoded)
    with _readable(encoded):
        return pb.Medium(content=encoded.read_bytes(), name=utf8(encoded.name)[:MAX_NAME])


def _upload(source: Source, options: pb.DetectOptions) -> Upload | None:
    encoded = _encoded(source)
    if encoded is None:
        return None
    size = encoded.stat().st_size if isinstance(encoded, Path) else len(encoded)
    if size <= UPLOAD_ABOVE:
        return None
    header = pb.DetectUploadHeader(options=options, size_bytes=size)
    if isinstance(source, pb.Medium):
        header.kind, header.name = source.kind, source.name
    elif isinstance(encoded, Path):
        header.name = utf8(encoded.name)[:MAX_NAME]
    return Upload(encoded, header)


def sendable(uri: str) -> str:
    """The URI. Raises DetectionError if it is not UTF-8, as a name in another encoding is not."""
    if uri != utf8(uri):
        problem = f"{uri}: a URI is UTF-8"
        raise DetectionError("INVALID_REQUEST", problem, "Percent-encode the bytes that are not.")
    return uri


def utf8(text: str) -> str:
    """As protobuf and Parquet hold it; names of files need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
