"""A Ray cluster of two machines, each of them processes of this one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Two nodes with two CPUs each, joined to this process."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Otherwise Ray reports to its makers, and looks for `uv` among the parents of this process.
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        cluster = Cluster()
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20, include_dashboard=False)
            ray.init(address=cluster.address, log_to_driver=False)
            yield
        finally:
            ray.shutdown()
            cluster.shutdown()  # type: ignore[no-untyped-call]


def workers(name: str) -> list[psutil.Process]:
    """The cluster's processes of the actor class `name`."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # ended meanwhile
            if "".join(child.cmdline()[:1]).startswith(f"ray::{name}"):
                found.append(child)
    return found


def kill_one(name: str) -> None:
    """kill -9, as when a machine goes away."""
    workers(name)[0].send_signal(signal.SIGKILL)
