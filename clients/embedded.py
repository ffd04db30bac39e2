"""The server inside the client's own process, so that a file can be checked without one running."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from clients.errors import DetectionError


@asynccontextmanager
async def embedded_server(
    models: Path | None = None, engine_workers: int = 0, decode_workers: int = 0
) -> AsyncIterator[str]:
    """Serves on a free loopback port while the context lasts, and gives its address.

    Args:
        models, engine_workers, decode_workers: as the server's flags; by default what it would take itself.

    Raises:
        DetectionError: there is no model to serve, or it cannot be served, here or at all.
    """
    if sys.platform == "win32":
        raise DetectionError("UNSUPPORTED_SYSTEM", "the engine does not run on Windows", "Ask a server.")
    if find_spec("onnxruntime") is None:
        raise DetectionError(
            "MISSING_PACKAGE", "there is no ONNX Runtime", "Install the extra cpu, gpu or silicon."
        )
    # Here, so that a client without --embedded never loads the engine.
    from server.app import running
    from server.errors import DetectorError
    from server.settings import Settings

    settings = Settings(
        host="127.0.0.1",
        port=0,
        models=models,
        engine_workers=engine_workers,
        decode_workers=decode_workers,
        log_level="warning",
        # What variables say of another server's listeners is not for this one.
        metrics_port=None,
        tls_certificate=None,
        tls_key=None,
        tls_client_ca=None,
        tokens=None,
        # This process is the only caller: files for thousands of others are not worth a warning.
        max_connections=64,
    )
    try:
        async with running(settings) as server:
            yield server.address
    except DetectorError as error:
        raise DetectionError(error.code, error.message, error.hint) from error
