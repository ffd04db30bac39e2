"""python -m benchmarks: see --help."""

import sys

from training.errors import missing

if __name__ == "__main__":
    try:
        from benchmarks.commands import app

        app(prog_name="python -m benchmarks")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {missing(error)}")
