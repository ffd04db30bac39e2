"""What gRPC alone takes: reads the same payloads, runs nothing, and answers with as many bytes as a verdict has."""

import grpc
import uvloop

from benchmarks.peers.launch import Launch, read_launch

_ANSWER = bytes(100)
_OPTIONS = [("grpc.max_receive_message_length", -1)]


async def serve(launch: Launch) -> None:
    async def answer(_: bytes, __: object) -> bytes:
        return _ANSWER

    server = grpc.aio.server(options=_OPTIONS)
    handlers = {"Score": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("benchmarks.Peer", handlers)])
    server.add_insecure_port(f"127.0.0.1:{launch.port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(read_launch()))
