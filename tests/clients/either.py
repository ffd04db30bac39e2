"""The clients behind one face, so that a test runs for both."""

import asyncio
from typing import Any, Protocol

from clients import AsyncDetector, Detector


class Client(Protocol):
    """Calls one method of a client that is opened for it."""

    def __call__(
        self, method: str, *args: Any, connect: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any: ...


def sync_client(address: str) -> Client:
    def call(method: str, *args: Any, connect: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        with Detector(address, **(connect or {})) as detector:
            answer = getattr(detector, method)(*args, **kwargs)
            return list(answer) if method == "detect_many" else answer

    return call


def async_client(address: str) -> Client:
    async def call_it(method: str, args: Any, connect: dict[str, Any], kwargs: Any) -> Any:
        async with AsyncDetector(address, **connect) as detector:
            answer = getattr(detector, method)(*args, **kwargs)
            return [item async for item in answer] if method == "detect_many" else await answer

    def call(method: str, *args: Any, connect: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        return asyncio.run(call_it(method, args, connect or {}, kwargs))

    return call
