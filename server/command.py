"""What the command lines have in common: settings, logs, and an exit status."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from typing import TypeVar

from pydantic_settings import SettingsError

from server import logs
from server.configuration import load
from server.errors import DetectorError, EngineFailed
from server.settings import Settings

Kind = TypeVar("Kind", bound=Settings)


def run(kind: type[Kind], program: str, serve: Callable[[Kind], Coroutine[None, None, None]]) -> int:
    """Loads settings of `kind` and serves until that ends.

    Returns:
        Exit status: 0 after a clean stop, 1 if serving failed, 2 for settings that make no sense.
    """
    try:
        loaded = load(sys.argv[1:], kind, program)
    except SettingsError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    if loaded.print_config:
        print(logs.public(loaded.model_dump_json(indent=2, exclude={"print_config"})))
        return 0
    return start(loaded, program, serve)


def start(loaded: Kind, program: str, serve: Callable[[Kind], Coroutine[None, None, None]]) -> int:
    """Serves with these settings; the exit status is as that of `run`."""
    try:
        file = loaded.log_dir and loaded.log_dir / f"{program.split()[-1]}.log"
        logs.configure(loaded.log_level, loaded.log_format, file, loaded.log_keep_days)
    except OSError as error:
        print(f"{program}: log_dir: {error}", file=sys.stderr)
        return 2
    try:
        _take_turns()
        with asyncio.Runner(loop_factory=_event_loop) as runner:
            runner.run(serve(loaded))
    except DetectorError as error:
        logging.getLogger("server").error("%s: %s. %s", error.code, error.message, error.hint)
        if isinstance(error, EngineFailed):
            # A run that hangs in native code could keep a tidier end from coming.
            logging.shutdown()
            os._exit(1)
        return 1
    return 0


def _event_loop() -> asyncio.AbstractEventLoop:
    # Here, so that --help and mistakes answer at once.
    import uvloop

    return uvloop.new_event_loop()


def _take_turns() -> None:
    """Keeps threads that wake up from interrupting those that run the model; all threads inherit it.

    Each interruption would push the model out of the processor's caches.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # containers may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
