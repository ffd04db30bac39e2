"""Coverage-guided fuzzing of the code that reads the headers of untrusted files: `python -m
benchmarks.fuzz_probe -runs=1000000 [CORPUS]`, with libFuzzer's options.

Every input must be named a format, with a size if it is a still, or be refused with a MediaError.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.abuse.seeds import seeds
from server.errors import MediaError
from training.errors import missing

try:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]
except ModuleNotFoundError as error:
    sys.exit(f"error: {missing(error)}")

with atheris.instrument_imports():
    from server.media import gif, jpeg, probe, still_headers

_HEADER = 4096


def read_headers(data: bytes) -> None:
    """Raises whatever is not a MediaError."""
    try:
        found = probe.identify(data)
        if found.still:
            still_headers.read_still(data, found)
        elif found is probe.GIF:
            gif.gif_size(data)
        if found is probe.JPEG:
            jpeg.read_jpeg(data)
    except MediaError:
        pass


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, content in seeds().items():
            (Path(folder) / name).write_bytes(content[:_HEADER])
        atheris.Setup([*sys.argv, folder], read_headers)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
