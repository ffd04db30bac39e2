"""Whether a server is ready, as `grpc.health.v1` tells; for probes."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clients.channel import LONGEST_TIMEOUT, connected
from clients.errors import translated


def is_serving(target: str, credentials: grpc.ChannelCredentials | None, timeout: float) -> bool:
    """Asks the server at host:port; needs no token.

    Raises:
        DetectionError: it cannot be reached, or has no such service.
    """
    with connected(target, credentials) as channel, translated():
        seconds = min(timeout, LONGEST_TIMEOUT)
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), seconds)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
