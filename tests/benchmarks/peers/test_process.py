from pathlib import Path

import grpc
import pytest

pytest.importorskip("onnx", reason="needs the extra train")

from benchmarks.material.mean_graph import mean_graph
from benchmarks.peers import process
from benchmarks.peers.catalogue import BY_NAME
from benchmarks.peers.codecs import CODECS
from benchmarks.peers.launch import Launch
from benchmarks.processes import free_port


def test_a_server_that_is_held_does_nothing(tmp_path: Path) -> None:
    peer = BY_NAME["grpc.aio"]
    model, port = mean_graph(8, tmp_path), free_port()
    launch = Launch(str(model), str(tmp_path), "", port, False, 8, 8, workers=1, batch=1)
    with (
        process.running(peer, launch, bytes(192)) as server,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CODECS[peer.codec].path)
        server.hold()
        with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
            call(bytes(192), timeout=0.3)
        with server.awake():
            assert len(call(bytes(192), timeout=30)) == 4
        assert server.death == ""
