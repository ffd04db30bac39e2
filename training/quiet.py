"""TensorFlow's start without what it says of itself.

Its C++ libraries write to stderr while they load, before any setting of theirs is read.
"""

import logging
import os
import sys
import tempfile


def start_tensorflow() -> None:
    """Imports TensorFlow. What it wrote is shown only if that fails."""
    # What it logs later is about itself too; its errors come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
