"""Runs, each a JSON file with what was found and what it was measured with."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from server.engine.cores import usable_cores
from server.engine.processor import name

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
    plain: dict[str, Any] = json.loads(json.dumps(run, default=_plain))
    return plain


def machine() -> dict[str, Any]:
    """Runs on different ones cannot be compared."""
    return {"cpu": name(), "cores": usable_cores(), "system": platform.system()}


def write(folder: Path, command: str, run: Mapping[str, Any]) -> Path:
    """A new file in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{command}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.json"
    file.write_text(json.dumps(run, indent=1) + "\n")
    return file


def _packages() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
