"""Runs, each a JSON file with what was found and what it was measured with."""

import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from server.engine import processor
from server.engine.cores import usable_cores

RESULTS = Path("benchmarks/results")
_PACKAGES = (
    "av",
    "grpcio",
    "keras",
    "numpy",
    "onnxruntime",
    "pillow",
    "protobuf",
    "scipy",
    "tensorflow",
)


def record(plan: object, **found: object) -> dict[str, Any]:
    """What was found by a plan, as it will be read from the file."""
    run = {
        "created": datetime.now(UTC).isoformat(),
        "plan": plan,
        "machine": machine(),
        "packages": _packages(),
        **found,
    }
    plain: dict[str, Any] = to_jsonable_python(run, fallback=str)
    return plain


def machine() -> dict[str, Any]:
    """Runs on different ones cannot be compared."""
    return {"cpu": processor.name(), "cores": usable_cores(), "system": platform.system()}


def write(folder: Path, command: str, run: Mapping[str, Any]) -> Path:
    """A new file in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{command}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.json"
    file.write_text(json.dumps(run, indent=1) + "\n")
    return file


def _packages() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions
