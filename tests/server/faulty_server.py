"""A server whose engine breaks on command: python faulty_server.py COMMANDS FLAGS…

While COMMANDS/raise exists, every run of the graph raises; while COMMANDS/hang exists, none ends,
and COMMANDS/hangs appears once there is one.
"""

import runpy
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from server.engine.batch import Rows, Scores
from server.engine.session import Session


def break_runs(commands: Path) -> None:
    run = Session.run

    def faulty(session: Session, requests: Sequence[Rows]) -> list[Scores]:
        while (commands / "hang").exists():
            (commands / "hangs").touch()
            time.sleep(0.01)
        if (commands / "raise").exists():
            raise RuntimeError("told to fail")
        return run(session, requests)

    Session.run = faulty  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    break_runs(Path(sys.argv.pop(1)))
    runpy.run_module("server", run_name="__main__")
