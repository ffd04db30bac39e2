"""Server reflection over the files of all services, whichever descriptor pool each lives in."""

from collections.abc import Iterable

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2


def enable(server: grpc.aio.Server, files: Iterable[FileDescriptor]) -> None:
    """Lets clients list the services of `files` and fetch their messages."""
    reflected = (*files, reflection_pb2.DESCRIPTOR)
    pool = DescriptorPool()
    for file in reflected:
        _add(pool, file)
    names = [service.full_name for file in reflected for service in file.services_by_name.values()]
    reflection.enable_server_reflection(names, server, pool)


def _add(pool: DescriptorPool, file: FileDescriptor) -> None:
    for dependency in file.dependencies:
        _add(pool, dependency)
    pool.AddSerializedFile(file.serialized_pb)
