"""Every way in which a request or a model can fail, with stable codes.

    DetectorError
    ├── InvalidRequest          INVALID_REQUEST          the request contradicts the contract
    ├── MediaError
    │   ├── UnsupportedMedia    UNSUPPORTED_MEDIA        a format or codec that is not allowed
    │   ├── CorruptMedia        CORRUPT_MEDIA            nothing can be decoded from it
    │   ├── MediaLimitExceeded  MEDIA_LIMIT_EXCEEDED     too many bytes, pixels, seconds, streams
    │   ├── DecodeTimeout       DECODE_TIMEOUT           decoding took longer than allowed
    │   └── DecoderCrashed      DECODER_CRASHED          the codec died on it
    ├── SourceError
    │   ├── SourceNotAllowed    SOURCE_NOT_ALLOWED       the settings forbid this URI
    │   ├── SourceNotFound      SOURCE_NOT_FOUND         nothing is there
    │   ├── SourceDenied        SOURCE_DENIED            whoever keeps it refuses this server
    │   └── SourceUnavailable   SOURCE_UNAVAILABLE       it could not be read now
    ├── Unauthenticated         UNAUTHENTICATED          the call has no token, or one that is not valid
    ├── Overloaded              OVERLOADED               the queue is full
    │   └── RateLimited         RATE_LIMITED             the caller's own share is used up
    ├── DeadlineExceeded        DEADLINE_EXCEEDED        the answer would come too late
    ├── TooSlow                 TOO_SLOW                 the caller sends nothing, or too slowly
    ├── ShuttingDown            SHUTTING_DOWN            the server finishes and takes nothing new
    ├── DeliveryFailed          DELIVERY_FAILED          a job's verdict could not be handed over
    ├── EngineFailed            ENGINE_FAILED            the graph, or any decoder, could not be run
    ├── CannotListen            CANNOT_LISTEN            the server's address is not to be had
    ├── InvalidCredentials      INVALID_CREDENTIALS      a certificate, key or token file is unusable
    ├── MissingPackage          MISSING_PACKAGE          a setting needs an extra that is not installed
    └── ModelError
        ├── ModelNotFound       MODEL_NOT_FOUND          no graph where one was named
        └── InvalidModel        INVALID_MODEL            a graph that this server must not serve

Errors know nothing of gRPC; `server.rpc.status` maps each to its status.
"""

from typing import ClassVar


class DetectorError(Exception):
    """Root of the tree.

    Args:
        message: what is wrong, for the person who sent the request.
        hint: what to do about it; the class's own hint if empty.

    Attributes:
        medium: which of the request's media it is about, from 0; None if it is about none.
    """

    code: ClassVar[str]
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.medium: int | None = None

    def __str__(self) -> str:
        return self.message


class InvalidRequest(DetectorError):
    code = "INVALID_REQUEST"
    default_hint = "Correct the request; sending it again unchanged cannot succeed."


class MediaError(DetectorError):
    """The medium itself cannot be judged."""


class UnsupportedMedia(MediaError):
    code = "UNSUPPORTED_MEDIA"
    default_hint = "Convert it to JPEG, PNG, MP4 (H.264 with AAC), WAV or MP3."


class CorruptMedia(MediaError):
    code = "CORRUPT_MEDIA"
    default_hint = "Check that the file is complete and opens in a player."


class MediaLimitExceeded(MediaError):
    code = "MEDIA_LIMIT_EXCEEDED"
    default_hint = "Send a smaller or shorter file, or raise the server's limit."


class DecodeTimeout(MediaError):
    code = "DECODE_TIMEOUT"
    default_hint = "Re-encode the file with common settings, or raise --decode-timeout-seconds."


class DecoderCrashed(MediaError):
    code = "DECODER_CRASHED"
    default_hint = "The file breaks its codec; re-encode it. Other requests are not affected."


class SourceError(DetectorError):
    """The URI of a medium cannot be read."""


class SourceNotAllowed(SourceError):
    code = "SOURCE_NOT_ALLOWED"
    default_hint = "Send the bytes, or ask the operator to allow this source."


class SourceNotFound(SourceError):
    code = "SOURCE_NOT_FOUND"
    default_hint = "Check the URI."


class SourceDenied(SourceError):
    code = "SOURCE_DENIED"
    default_hint = "Ask the operator: the server's credentials must be allowed to read it."


class SourceUnavailable(SourceError):
    code = "SOURCE_UNAVAILABLE"
    default_hint = "Try again later."


class Unauthenticated(DetectorError):
    code = "UNAUTHENTICATED"
    default_hint = "Send the metadata `authorization: Bearer TOKEN` with a token that this server knows."


class Overloaded(DetectorError):
    """The queue is full.

    Args:
        retry_after: seconds after which a retry has a chance.
    """

    code = "OVERLOADED"
    default_hint = "Retry after the delay in RetryInfo."

    def __init__(self, message: str, hint: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class RateLimited(Overloaded):
    code = "RATE_LIMITED"
    default_hint = "Send fewer calls at once or a second, or ask the operator for a larger share."


class DeadlineExceeded(DetectorError):
    code = "DEADLINE_EXCEEDED"
    default_hint = "Allow a longer deadline, or send less at once."


class TooSlow(DetectorError):
    code = "TOO_SLOW"
    default_hint = "Send faster and without pauses, or raise the server's time-outs."


class ShuttingDown(DetectorError):
    code = "SHUTTING_DOWN"
    default_hint = "Retry; another replica or the restarted server will answer."


class DeliveryFailed(DetectorError):
    code = "DELIVERY_FAILED"
    default_hint = "Check that the receiver is up; the verdict is delivered again."


class EngineFailed(DetectorError):
    code = "ENGINE_FAILED"
    default_hint = "This is the server's fault; its log has the cause."


class CannotListen(DetectorError):
    code = "CANNOT_LISTEN"
    default_hint = "Choose another --host or --port."


class InvalidCredentials(DetectorError):
    code = "INVALID_CREDENTIALS"
    default_hint = "Check the file; certificates and keys are PEM, tokens are lines of NAME TOKEN."


class MissingPackage(DetectorError):
    code = "MISSING_PACKAGE"
    default_hint = "Install the extra that the message names."


def missing_package(problem: str, extra: str) -> MissingPackage:
    """What to raise where an extra of this project is needed and not installed."""
    return MissingPackage(problem, f"Install it with: pip install 'deepfake-detector[{extra}]'")


class ModelError(DetectorError):
    """A graph cannot be served."""


class ModelNotFound(ModelError):
    code = "MODEL_NOT_FOUND"
    default_hint = "Export one with: python -m exporter models/"


class InvalidModel(ModelError):
    code = "INVALID_MODEL"
    default_hint = "Export the model again with this version of the exporter."
