"""python -m server.jobs: see --help."""

import sys

from server import command
from server.jobs.settings import JobSettings


async def work(settings: JobSettings) -> None:
    # Here, so that --help and mistakes answer without loading ONNX Runtime.
    from server.jobs import app

    await app.work(settings)


if __name__ == "__main__":
    sys.exit(command.run(JobSettings, "python -m server.jobs", work))
