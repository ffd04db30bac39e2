from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import onnxruntime as ort
import pytest
import tritonclient.grpc as triton

from open_inference.v2.inference_pb2_grpc import GRPCInferenceServiceStub
from server.app import Server
from server.engine.manifest import METADATA_KEY, Manifest


@pytest.fixture(scope="module")
def bare(models: Path) -> ort.InferenceSession:
    return ort.InferenceSession(models / "tiny/1/model.onnx", providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def manifest(bare: ort.InferenceSession) -> Manifest:
    return Manifest.model_validate_json(bare.get_modelmeta().custom_metadata_map[METADATA_KEY])


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with triton.InferenceServerClient(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield GRPCInferenceServiceStub(channel)
