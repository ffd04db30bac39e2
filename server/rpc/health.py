"""grpc.health.v1 with all its methods."""

from grpc_health.v1 import health, health_pb2

from server.rpc.status import Context


class Health(health.aio.HealthServicer):  # type: ignore[misc]
    """The package's own servicer, which names List to reflection but fails when it is called."""

    async def List(
        self, request: health_pb2.HealthListRequest, context: Context
    ) -> health_pb2.HealthListResponse:
        statuses = self._server_status.items()
        return health_pb2.HealthListResponse(
            statuses={service: health_pb2.HealthCheckResponse(status=status) for service, status in statuses}
        )
