import av
import pytest

from server.errors import (
    CorruptMedia,
    DecoderCrashed,
    DecodeTimeout,
    MediaError,
    MediaLimitExceeded,
    UnsupportedMedia,
)
from server.media.failures import typed_errors


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (MemoryError(), MediaLimitExceeded),
        (av.error.ExitError(0, "Immediate exit requested"), DecodeTimeout),
        (av.error.TimeoutError(0, "Connection timed out"), DecodeTimeout),
        (av.error.PatchWelcomeError(0, "Not yet implemented"), UnsupportedMedia),
        (av.error.DecoderNotFoundError(0, "Decoder not found"), UnsupportedMedia),
        (av.error.InvalidDataError(0, "Invalid data"), CorruptMedia),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), CorruptMedia),
    ],
)
def test_whatever_a_decoder_raises_says_what_is_wrong_with_the_file(
    raised: Exception, expected: type[MediaError]
) -> None:
    with pytest.raises(expected, match=r"^the sound: ") as caught, typed_errors("the sound"):
        raise raised
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("raised", [DecoderCrashed("died"), KeyError("a mistake of ours")])
def test_the_rest_stays_what_it_is(raised: Exception) -> None:
    with pytest.raises(type(raised)) as caught, typed_errors("the sound"):
        raise raised
    assert caught.value is raised
