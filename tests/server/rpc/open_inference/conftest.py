from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import tritonclient.grpc as triton

from open_inference.v2.inference_pb2_grpc import GRPCInferenceServiceStub
from server.app import Server
from server.engine.manifest import Manifest
from server.engine.session import Session


@pytest.fixture(scope="module")
def manifest(session: Session) -> Manifest:
    return session.manifest


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield GRPCInferenceServiceStub(channel)
