"""One DetectStream: media go out, answers come back as they are ready."""

import queue

from clients.channel import Metadata
from clients.errors import DetectionError, from_status, translated
from clients.requests import Answer, Media
from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub

Answered = tuple[Media, Answer]


class Stream:
    """Of plain gRPC, for plain and for asyncio code.

    Args:
        stub: not of grpc.aio.
        metadata: of the call.
    """

    def __init__(self, stub: DetectorStub, metadata: Metadata) -> None:
        self._outgoing: queue.SimpleQueue[pb.DetectRequest | None] = queue.SimpleQueue()
        self._answers = stub.DetectStream(iter(self._outgoing.get, None), metadata=metadata)
        self._unanswered: dict[str, Media] = {}

    @property
    def unanswered(self) -> int:
        """Media that were sent and not answered yet."""
        return len(self._unanswered)

    def send(self, medium: Media, request: pb.DetectRequest) -> None:
        """Sends a medium as this request, whose id no other on the stream has."""
        self._unanswered[request.id] = medium
        self._outgoing.put(request)

    def end(self) -> None:
        """Nothing more is sent."""
        self._outgoing.put(None)

    def next_answer(self) -> Answered:
        """A medium with its answer or its error. Blocks.

        Raises:
            DetectionError: the stream broke, or ended too early.
        """
        with translated():
            answer = next(self._answers, None)
        if answer is None:
            problem = f"the stream ended with {self.unanswered} media unanswered"
            raise DetectionError("UNANSWERED", problem, "Send them again.")
        failed = answer.WhichOneof("result") == "error"
        return self._unanswered.pop(answer.id), from_status(answer.error) if failed else answer.response

    def close(self) -> None:
        """Cancels what is unanswered; whoever waits in `next_answer` gets an error."""
        self.end()  # of gRPC's sending thread, too
        self._answers.cancel()
