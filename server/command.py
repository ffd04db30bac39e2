"""What the command lines have in common: settings, logs, and an exit status."""

import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TypeVar

from pydantic_settings import SettingsError

from server import logs
from server.configuration import load
from server.errors import DetectorError
from server.settings import Settings

log = logging.getLogger("server")

Kind = TypeVar("Kind", bound=Settings)

# Exit status of a process that was ended by a signal, less the signal's number.
_BY_SIGNAL = 128

# Some send SIGTERM twice and mean it once: `timeout` to the process and to its group; systemd to each of
# several servers, which get it from the one that watches as well.
_ECHO_SECONDS = 1.0


def run(kind: type[Kind], program: str, serve: Callable[[Kind], Coroutine[None, None, None]]) -> int:
    """Loads settings of `kind` and serves until that ends.

    Returns:
        Exit status: 0 after a clean stop, 1 if serving failed, 2 for settings that make no sense, 130 for
        Ctrl-C during the start or the stop, 143 for another SIGTERM during the stop.
    """
    try:
        loaded = load(sys.argv[1:], kind, program)
    except SettingsError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    if loaded.print_config:
        print(logs.redacted(loaded.model_dump_json(indent=2, exclude={"print_config"})))
        return 0
    return start(loaded, program, serve)


def start(loaded: Kind, program: str, serve: Callable[[Kind], Coroutine[None, None, None]]) -> int:
    """Serves with these settings, and ends the process; the exit status is as that of `run`."""
    if sys.platform == "win32":
        # Decoders are capped, signalled and handed their sockets as POSIX systems do it.
        print(f"{program}: does not run on Windows itself; use WSL 2 or the image", file=sys.stderr)
        return 2
    try:
        file = loaded.log_dir and loaded.log_dir / f"{program.split()[-1]}.log"
        logs.configure(loaded.log_level, loaded.log_format, file, loaded.log_keep_days)
    except OSError as error:
        print(f"{program}: log_dir: {error}", file=sys.stderr)
        return 2
    _heed_signals()
    status = _served(loaded, serve)
    # Waits for no thread: one may be in a call that does not end, of the graph or of a store that hangs.
    logging.shutdown()
    os._exit(status)


def at_stop(stop: Callable[[], None]) -> None:
    """Has the running event loop call `stop` at SIGTERM and at Ctrl-C; either of them after that ends the
    process at once: whoever asks twice does not want to wait for what is left."""
    loop = asyncio.get_running_loop()
    patient_until = math.inf

    def asked() -> None:
        nonlocal patient_until
        patient_until = min(patient_until, loop.time() + _ECHO_SECONDS)
        loop.remove_signal_handler(signal.SIGINT)
        stop()

    def terminated() -> None:
        if loop.time() <= patient_until:
            asked()
            return
        log.warning("SIGTERM again: ended at once, without what was left to finish")
        logging.shutdown()
        os._exit(_BY_SIGNAL + signal.SIGTERM)

    loop.add_signal_handler(signal.SIGINT, asked)
    loop.add_signal_handler(signal.SIGTERM, terminated)


def _served(loaded: Kind, serve: Callable[[Kind], Coroutine[None, None, None]]) -> int:
    try:
        _schedule_as_batch()
        # Never closed, as that would wait for threads.
        asyncio.Runner(loop_factory=_event_loop).run(serve(loaded))
    except DetectorError as error:
        log.error("%s: %s. %s", error.code, error.message, error.hint)
        return 1
    except KeyboardInterrupt:
        return _BY_SIGNAL + signal.SIGINT
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime":
            # None comes with the base install, nor with the extra gpu on macOS.
            log.error("there is no ONNX Runtime; install the extra cpu, gpu or silicon")
        else:
            log.critical("ended by an unexpected error", exc_info=True)
        return 1
    return 0


def _heed_signals() -> None:
    """What signals do until `serve` says more."""
    # By default it would end the process; what it asks for is looked at in any case when that starts.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if os.getpid() == 1:
        # In a container: the system keeps from this process what it has no handler for.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(_BY_SIGNAL + signal.SIGTERM))


def _event_loop() -> asyncio.AbstractEventLoop:
    # Here, so that --help and mistakes answer at once.
    import uvloop

    return uvloop.new_event_loop()


def _schedule_as_batch() -> None:
    """Keeps threads that wake up from interrupting those that run the model; all threads inherit it.

    Each interruption would push the model out of the processor's caches.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # containers may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
