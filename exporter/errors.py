"""What converters, checkers and optimisers raise, as an error that people can read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from server.errors import DetectorError, InvalidModel

REPORT = "A construct of this model is not converted faithfully; please report it."
"""What to do about a mistake of the exporter."""

_COLOURS = re.compile(r"\x1b\[\d*m")
_TELLING = ("Could not locate", "is not a valid scope name")


@contextmanager
def refused(message: str, hint: str) -> Iterator[None]:
    """Turns whatever fails inside into InvalidModel; the tools' own errors have no base in common."""
    try:
        yield
    except (DetectorError, OSError):
        raise
    except Exception as error:
        raise InvalidModel(f"{message}: {reason(error)}", hint) from error


def reason(error: Exception) -> str:
    """The line that tells most out of an error of Keras, tf2onnx, ONNX or ONNX Runtime."""
    plain = _COLOURS.sub("", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if any(words in line for words in _TELLING)), lines[0])
