from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest

from deepfake.v1 import detector_pb2_grpc
from tests.clients.fake_detector import MAX_MESSAGE_BYTES, FakeDetector


@pytest.fixture
def fake_detector() -> Iterator[FakeDetector]:
    """Listens at its `address`."""
    servicer = FakeDetector()
    server = grpc.server(
        futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
    )
    detector_pb2_grpc.add_DetectorServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield servicer
    servicer.go_on.set()
    server.stop(None).wait()
