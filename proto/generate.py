"""Generates the Python stubs in proto/gen from the .proto files: `make proto`.

Imports of Google's common types are resolved from the googleapis-common-protos package.
"""

import subprocess
import sys
from pathlib import Path

from google.rpc import status_pb2

ROOT = Path(__file__).parent
PROTOS = ["deepfake/v1/detector.proto", "open_inference/v2/inference.proto"]
# Other projects bring stubs of the same messages. In the one pool of a process the second would fail to
# load, so ours stay in a pool of their own.
SHARED_NAMES = ["open_inference/v2/inference_pb2.py"]


def common_protos() -> Path:
    """The folder of Google's common .proto files, for example google/rpc/status.proto."""
    return Path(status_pb2.__file__).parents[2]


def generate(out: Path) -> None:
    """Writes the stubs below `out`, one package a folder. Raises CalledProcessError on a bad proto."""
    out.mkdir(parents=True, exist_ok=True)
    # As a process: protoc's in-process entry point crashes once TensorFlow is imported.
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", f"-I{common_protos()}"]
    targets = ["--python_out", "--grpc_python_out", "--mypy_out", "--mypy_grpc_out"]
    subprocess.run([*command, *(f"{target}={out}" for target in targets), *PROTOS], check=True)  # noqa: S603
    for proto in PROTOS:
        folder = (out / proto).parent
        while folder != out:
            (folder / "__init__.py").touch()
            folder = folder.parent
        (out / Path(proto).parts[0] / "py.typed").touch()
    for stub in SHARED_NAMES:
        code = (out / stub).read_text(encoding="utf-8")
        own_pool = code.replace("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()")
        (out / stub).write_text(own_pool, encoding="utf-8")


if __name__ == "__main__":
    generate(ROOT / "gen")
