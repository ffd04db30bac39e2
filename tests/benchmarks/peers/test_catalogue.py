import pytest

pytest.importorskip("psutil", reason="needs the extra bench")

from benchmarks.peers import install
from benchmarks.peers.catalogue import ECHO, OURS, PEERS
from benchmarks.peers.codecs import CODECS


def test_every_peer_has_a_codec_and_an_environment_or_none() -> None:
    assert all(peer.codec in CODECS for peer in PEERS)
    assert {peer.name for peer in PEERS if not peer.environment} == {OURS, ECHO, "grpc.aio"}
    assert set(install.environments()) >= {"pytriton", "ray", "litserve", "bentoml", "mlserver", "kserve"}
    assert "there are only" in install.install("no such peer", "python")
