"""Which servers there are, what each needs, and how it is started."""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks import serving
from benchmarks.peers.launch import Launch
from benchmarks.report.results import RESULTS
from server.engine.cores import usable_cores

ENVIRONMENTS = RESULTS / "peers"
OURS, ECHO = "ours", "gRPC echo"
OURS_PER_CORE = "ours per core"
"""With a process for each core."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to measure.

    Attributes:
        codec: how it is spoken to: a name in `benchmarks.peers.codecs`.
        module: its program in `benchmarks.peers`, whose argument names a `Launch`; empty: our server.
        environment: the virtual environment that has what it needs; empty: this one.
        requirements: what that needs besides `handler_requirements()`.
        flags: of our server.
    """

    name: str
    codec: str
    module: str = ""
    environment: str = ""
    requirements: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        return not self.module

    def python(self) -> str:
        """The interpreter that runs it."""
        return str(self.folder() / "bin" / "python") if self.environment else sys.executable

    def folder(self) -> Path:
        """Where its virtual environment is, or should be."""
        return ENVIRONMENTS.resolve() / self.environment

    def missing(self) -> str:
        """Why it cannot be started; empty if it can."""
        if Path(self.python()).exists():
            return ""
        return f"not installed: python -m benchmarks peers-install {self.environment}"

    def command(self, launch: Launch, file: Path) -> list[str]:
        """What starts it, when `file` holds the launch."""
        if self.ours:
            cache = () if launch.cached else serving.NO_CACHE
            model = [*serving.of_model(Path(launch.model)), "--precision", launch.precision]
            return serving.command(launch.port, *model, *cache, *self.flags)
        return [self.python(), "-m", f"benchmarks.peers.{self.module}", str(file)]


_PYTRITON = ("nvidia-pytriton>=0.7,<0.8",)
PEERS = (
    Peer(OURS, "detect"),
    Peer(OURS_PER_CORE, "detect", flags=("--processes", str(usable_cores()))),
    Peer(ECHO, "bytes", "echo"),
    Peer("grpc.aio", "bytes", "grpc_aio"),
    Peer("tritonserver", "infer", "triton", "pytriton", _PYTRITON),
    Peer("pytriton", "infer", "pytriton", "pytriton", _PYTRITON),
    Peer("litserve", "http", "litserve", "litserve", ("litserve>=0.2.19,<0.3",)),
    Peer("bentoml", "http", "bentoml", "bentoml", ("bentoml>=1.4,<1.5",)),
    Peer("mlserver", "infer", "mlserver", "mlserver", ("mlserver>=1.7,<1.8", "uvloop<0.22")),
    Peer("kserve", "infer", "kserve", "kserve", ("kserve>=0.21,<0.22",)),
    Peer("ray", "detect", "ray_serve", "ray", ("ray[serve]>=2.60,<3",)),
)
BY_NAME = {peer.name: peer for peer in PEERS}


def handler_requirements() -> list[str]:
    """What every peer's handler imports, as it is here: the same runtime and the same decoders."""
    same = [f"{package}=={version(package)}" for package in ("onnxruntime", "av")]
    return [*same, "soxr", "numpy", "pillow"]
