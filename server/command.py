"""What the command lines have in common: settings, logs, and an exit status."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import TypeVar

from pydantic_settings import SettingsError

from server import logs, settings
from server.errors import DetectorError

Kind = TypeVar("Kind", bound=settings.Settings)


def run(kind: type[Kind], program: str, serve: Callable[[Kind], Coroutine[None, None, None]]) -> int:
    """Loads settings of `kind` and serves until that ends.

    Returns:
        Exit status: 0 after a clean stop, 1 if serving failed, 2 for settings that make no sense.
    """
    try:
        loaded = settings.load(sys.argv[1:], kind, program)
    except SettingsError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    if loaded.print_config:
        print(logs.public(loaded.model_dump_json(indent=2, exclude={"print_config"})))
        return 0
    try:
        logs.configure(loaded.log_level, loaded.log_format, loaded.log_dir, loaded.log_keep_days)
    except OSError as error:
        print(f"{program}: log_dir: {error}", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve(loaded))
    except DetectorError as error:
        logging.getLogger("server").error("%s: %s %s", error.code, error.message, error.hint)
        return 1
    return 0
