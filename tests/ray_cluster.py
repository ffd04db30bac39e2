"""A Ray cluster of two machines, each of them processes of this one.

As a program (`python -m tests.ray_cluster`) it starts them, prints their address, and ends them when its
standard input closes.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

# Otherwise Ray reports to its makers, and looks for `uv` among the parents of this process.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
NODES = 2


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Two nodes with two CPUs each, joined to this process."""
    ray = pytest.importorskip("ray")
    # In a process of its own: Ray runs Python code between fork and exec, which can wait for ever for a
    # lock that one of a test process's many threads held when it forked.
    command = [sys.executable, "-m", "tests.ray_cluster"]
    environment = {**os.environ, **_QUIET}
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as nodes,
    ):
        for name, value in _QUIET.items():
            patch.setenv(name, value)
        assert nodes.stdin
        assert nodes.stdout
        try:
            address = nodes.stdout.readline().strip()
            assert address, "the cluster did not start; its message is on standard error"
            ray.init(address=address, log_to_driver=False)
            yield
        finally:
            ray.shutdown()
            nodes.stdin.close()


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


def _run_nodes() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(NODES):
            cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20, include_dashboard=False)
        print(cluster.address, flush=True)
        sys.stdin.read()
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    _run_nodes()
