"""From whatever a decoder raises to the typed errors of `server.errors`."""

from collections.abc import Iterator
from contextlib import contextmanager

import av

from server.errors import CorruptMedia, DecodeTimeout, MediaError, MediaLimitExceeded, UnsupportedMedia

_UNSUPPORTED = (
    av.error.PatchWelcomeError,
    av.error.DecoderNotFoundError,
    av.error.DemuxerNotFoundError,
    av.error.ExperimentalError,
)
# PyAV lets these through beside its own: text that is no UTF-8, parameters that change
# mid-stream, streams that appear while demuxing, sizes that do not fit.
_LEAKING = (av.FFmpegError, ValueError, IndexError, ArithmeticError, EOFError, OSError)


@contextmanager
def typed_errors(what: str) -> Iterator[None]:
    """Names `what` could not be read, as a MediaError with the cause."""
    try:
        yield
    except MediaError:
        raise
    except MemoryError as error:
        raise MediaLimitExceeded(f"{what}: decoding it needs more memory than allowed") from error
    except (av.error.TimeoutError, av.error.ExitError) as error:
        raise DecodeTimeout(f"{what}: reading it took longer than allowed") from error
    except _UNSUPPORTED as error:
        raise UnsupportedMedia(f"{what}: {describe(error)}") from error
    except _LEAKING as error:
        raise CorruptMedia(f"{what}: {describe(error)}") from error


def describe(error: Exception) -> str:
    """The cause in FFmpeg's words, without its internals."""
    if isinstance(error, av.FFmpegError) and error.strerror:
        return str(error.strerror)
    return str(error) or type(error).__name__
