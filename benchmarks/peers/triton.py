"""tritonserver with its Python backend, from the wheel of PyTriton.

`python -m benchmarks.peers.triton LAUNCH` writes a model repository and becomes the server.
"""

import os
import sys
from pathlib import Path

from benchmarks.peers.launch import ANSWER, MODEL, PAYLOAD, Launch, read_launch

_CONFIG = """
backend: "python"
max_batch_size: {batch}
input [ {{ name: "{payload}" data_type: {datatype} dims: {dims} }} ]
output [ {{ name: "{answer}" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: {workers} }} ]
parameters {{ key: "launch" value: {{ string_value: "{launch}" }} }}
{batching}
"""


def main(launch: Launch, file: str) -> None:
    folder = Path(launch.folder)
    _write_model(folder / "models" / MODEL, launch, file)
    wheel = next(Path(launch.environment).glob("lib/python*/site-packages/pytriton/tritonserver"))
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True)
    for part in (wheel / "backends" / "python").iterdir():
        (backend / part.name).symlink_to(part)
    stub = f"{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
    (backend / "triton_python_backend_stub").symlink_to(wheel / "python_backend_stubs" / stub)
    server = wheel / "bin" / "tritonserver"
    flags = {
        "model-repository": folder / "models",
        "backend-directory": backend.parent,
        "grpc-address": "127.0.0.1",
        "grpc-port": launch.port,
        "allow-http": "false",
        "allow-metrics": "false",
        "log-info": "false",
    }
    # The backend looks for its packages where the first python3 does; with NumPy 2 its outputs are empty.
    os.environ["PATH"] = os.pathsep.join([str(Path(launch.environment) / "bin"), os.environ["PATH"]])
    os.execv(server, [str(server), *(f"--{name}={value}" for name, value in flags.items())])


def _write_model(folder: Path, launch: Launch, file: str) -> None:
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(
        "from benchmarks.peers.triton_model import TritonPythonModel  # noqa: F401\n"
    )
    config = _CONFIG.format(
        batch=launch.batch,
        payload=PAYLOAD,
        datatype="TYPE_STRING" if launch.encoded else "TYPE_UINT8",
        dims="[ 1 ]" if launch.encoded else f"[ {launch.height}, {launch.width}, 3 ]",
        answer=ANSWER,
        workers=launch.workers,
        launch=file,
        batching="dynamic_batching { }" if launch.batch > 1 else "",
    )
    (folder / "config.pbtxt").write_text(config)


if __name__ == "__main__":
    main(read_launch(), sys.argv[1])
