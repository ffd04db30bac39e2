from pathlib import Path

import pytest

from benchmarks.peers import install
from benchmarks.peers.catalogue import BY_NAME, ECHO, OURS, OURS_PER_CORE, PEERS
from benchmarks.peers.codecs import CODECS
from benchmarks.peers.launch import Launch
from server.engine.cores import usable_cores


def test_every_peer_has_a_codec_and_an_environment_or_none() -> None:
    assert all(peer.codec in CODECS for peer in PEERS)
    assert {peer.name for peer in PEERS if not peer.environment} == {OURS, OURS_PER_CORE, ECHO, "grpc.aio"}
    assert set(install.environments()) >= {"pytriton", "ray", "litserve", "bentoml", "mlserver", "kserve"}
    assert "there are only" in install.install("no such peer", "python")
    assert "name another --python" in install.install("ray", "/no/such/python")


def command(name: str, cached: bool = False) -> list[str]:
    launch = Launch("models/detector/1/model.onnx", "", "", 1, True, 8, 8, workers=1, batch=1, cached=cached)
    return BY_NAME[name].command(launch, Path("unused"))


@pytest.mark.parametrize("cached", [False, True])
def test_our_server_answers_from_its_cache_only_where_that_is_measured(cached: bool) -> None:
    assert ("--cache-max-entries" in command(OURS, cached)) is not cached


def test_ours_per_core_is_our_server_with_as_many_processes() -> None:
    assert command(OURS_PER_CORE) == [*command(OURS), "--processes", str(usable_cores())]
