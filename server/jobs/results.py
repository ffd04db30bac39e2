"""One verdict, or the reason why there is none, as it is delivered."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from deepfake.v1 import detector_pb2 as pb
from server.errors import DetectorError

_FILE_NAME = re.compile(r"[0-9a-f]{64}\.json")


@dataclass(frozen=True, slots=True)
class Result:
    """What receivers get.

    Attributes:
        key: SHA-256 over what the result depends on: id, URIs, options, and content and model or the
            error's code. However often a message is worked on, its result has the same key.
        id: as the message said; may be empty.
        body: JSON object of key, id, uris, and either `response` (DetectResponse in proto3 JSON with the
            proto's own field names) or `error` (code, message and hint).
    """

    key: str
    id: str
    body: bytes

    @property
    def file_name(self) -> str:
        """Of the object that holds it."""
        return f"{self.key}.json"


def is_result(file_name: str) -> bool:
    """Whether it is the `file_name` of a result."""
    return _FILE_NAME.fullmatch(file_name) is not None


def verdict(request: pb.DetectRequest, response: pb.DetectResponse) -> Result:
    """The result for media that were judged."""
    content = [facts.source.sha256 for facts in response.media]
    model = [response.model_name, response.model_version]
    answer = MessageToDict(response, preserving_proto_field_name=True)
    return _result(request, [*content, *model], {"response": answer})


def failure(request: pb.DetectRequest, error: DetectorError) -> Result:
    """The result for media that cannot be judged, now or later."""
    answer = {"code": error.code, "message": error.message, "hint": error.hint}
    return _result(request, [error.code], {"error": answer})


def _result(request: pb.DetectRequest, depends_on: list[str], answer: dict[str, Any]) -> Result:
    uris = [medium.uri for medium in request.media]
    options = request.options.SerializeToString(deterministic=True).hex()
    identity = json.dumps([request.id, uris, options, depends_on])
    key = hashlib.sha256(identity.encode()).hexdigest()
    body = {"key": key, "id": request.id, "uris": uris, **answer}
    return Result(key, request.id, json.dumps(body).encode())
