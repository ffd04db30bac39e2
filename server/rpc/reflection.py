"""Server reflection over the files of all services, whichever descriptor pool each lives in."""

from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.reflection import aio


def servicer(files: Iterable[FileDescriptor]) -> aio.ReflectionServicer:
    """Lets clients list the services of `files` and fetch their messages."""
    pool = DescriptorPool()
    for file in files:
        _add(pool, file)
    names = [service.full_name for file in files for service in file.services_by_name.values()]
    return aio.ReflectionServicer(names, pool)


def _add(pool: DescriptorPool, file: FileDescriptor) -> None:
    for dependency in file.dependencies:
        _add(pool, dependency)
    pool.AddSerializedFile(file.serialized_pb)
