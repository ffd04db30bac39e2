"""python -m server: see --help."""

import asyncio
import logging
import sys

from pydantic_settings import SettingsError

from server import logs, settings
from server.errors import DetectorError


def main() -> int:
    """Exit status: 0 after a clean stop, 1 if serving failed, 2 for settings that make no sense."""
    try:
        loaded = settings.load(sys.argv[1:])
    except SettingsError as error:
        print(f"python -m server: {error}", file=sys.stderr)
        return 2
    if loaded.print_config:
        print(logs.public(loaded.model_dump_json(indent=2, exclude={"print_config"})))
        return 0
    try:
        logs.configure(loaded.log_level, loaded.log_format, loaded.log_dir, loaded.log_keep_days)
    except OSError as error:
        print(f"python -m server: log_dir: {error}", file=sys.stderr)
        return 2
    # After the settings, so that --help and mistakes answer without loading ONNX Runtime.
    from server import app

    try:
        asyncio.run(app.serve(loaded))
    except DetectorError as error:
        logging.getLogger("server").error("%s: %s %s", error.code, error.message, error.hint)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
