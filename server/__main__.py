"""python -m server: see --help."""

import sys

from server import command
from server.settings import Settings


async def serve(settings: Settings) -> None:
    # Here, so that --help and mistakes answer without loading ONNX Runtime.
    if settings.processes > 1:
        from server import processes

        await processes.serve(settings)
    else:
        from server import app

        await app.serve(settings)


if __name__ == "__main__":
    sys.exit(command.run(Settings, "python -m server", serve))
