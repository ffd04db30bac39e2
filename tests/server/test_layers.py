"""Imports go one way, and the server never pays for the packages of training."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What each package may import of this repository, besides itself and the generated stubs.
ALLOWED = {
    "server/errors.py": set[str](),
    "server/urgency.py": set[str](),
    "server/backlog.py": {"server.urgency"},
    "server/media": {"server.errors", "server.backlog", "server.estimates", "server.urgency"},
    "server/engine": {"server.errors", "server.backlog", "server.urgency"},
    "server/aws.py": {"server.errors"},
    "server/sources": {
        "server.errors",
        "server.aws",
        "server.backlog",
        "server.estimates",
        "server.urgency",
    },
    "server/detect": {
        "server.errors",
        "server.estimates",
        "server.urgency",
        "server.media",
        "server.engine",
        "server.sources",
    },
    "server/rpc": {
        "server.errors",
        "server.urgency",
        "server.media",
        "server.engine",
        "server.detect",
        "server.settings",
        "server.telemetry",
        "server.sources.fetched",
    },
    "server/cluster": {"server.errors", "server.logs", "server.settings", "server.backend", "server.rpc"},
    "server/jobs": {
        "server.errors",
        "server.settings",
        "server.command",
        "server.aws",
        "server.backend",
        "server.detect.request",
        "server.rpc.convert",
    },
    "training": {"server.errors", "server.media", "server.logs"},
    "exporter": {"server.errors", "server.media", "server.engine", "server.logs", "training"},
    "clients": set[str](),
}
EXCEPTIONS = {
    # The one door between client and server: an engine in the client's own process.
    *(("clients/embedded.py", module) for module in ("server.app", "server.settings", "server.errors")),
    # What is deployed is measured as clients meet it: through the client, over the wire.
    ("training/evaluation/served_judge.py", "clients"),
    # Keras models are fused as the exporter will fuse them, on the rows that the server will ask for.
    ("training/branches.py", "server.engine.manifest"),
    ("training/evaluation/keras_judge.py", "server.engine.manifest"),
    *(("training/evaluation/keras_judge.py", f"server.detect.{module}") for module in ("plan", "request")),
    # Precisions are compared on the rows that the server will ask for.
    *(("exporter/samples.py", f"server.detect.{module}") for module in ("plan", "request")),
}
OURS = ("server", "training", "exporter", "clients", "benchmarks", "tests")


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in OURS}


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    place = ROOT / package
    files = [place] if place.is_file() else list(place.rglob("*.py"))
    assert files
    own = package.removesuffix(".py").replace("/", ".")
    wrong = {
        (str(path.relative_to(ROOT)), name)
        for path in files
        for name in imports(path)
        if not any(within(name, allowed) for allowed in {own, *ALLOWED[package]})
    }
    assert {(path, name) for path, name in wrong if not _excepted(path, name)} == set()


def _excepted(path: str, name: str) -> bool:
    return any(path == file and within(name, module) for file, module in EXCEPTIONS)


@pytest.mark.parametrize("entry", ["server.app", "clients"])
def test_the_server_and_the_client_load_only_what_they_always_need(entry: str) -> None:
    code = f"import sys, {entry}; print(*{{name.split('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    heavy = {
        "tensorflow",
        "keras",
        "tf2onnx",
        "librosa",
        "sklearn",
        "scipy",
        "matplotlib",
        "training",
        "exporter",
    }
    optional = {"opentelemetry", "prometheus_client"}
    assert (heavy | optional) & set(loaded.stdout.split()) == set()
