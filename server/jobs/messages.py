"""What the messages of a queue ask for."""

import json
from typing import Any
from urllib.parse import quote, unquote_plus

from google.protobuf.json_format import ParseDict, ParseError

from deepfake.v1 import detector_pb2 as pb
from server.errors import InvalidRequest
from server.jobs.results import is_result
from server.rpc.convert import MAX_ID

_KEYS = {"id", "uri", "options"}


def requests(body: str) -> list[pb.DetectRequest]:
    """The requests that a message stands for.

    There are none in S3's test events, and in those of removed objects and of verdicts that workers wrote.

    A message is one of, each also as SNS wraps it:

    - {"id": "upload-1", "uri": "s3://bucket/key", "options": {"threshold": 0.7}}, where `uri` may be a list
      of media of one subject, `options` are DetectOptions in proto3 JSON, and only `uri` is needed;
    - an S3 event notification; the id is then bucket/key.

    Raises:
        InvalidRequest: it is none of these.
    """
    message = _object(body)
    if message.get("Type") == "Notification" and isinstance(message.get("Message"), str):
        message = _object(message["Message"])
    if message.get("Event") == "s3:TestEvent":
        return []
    if "Records" in message:
        return _created(message["Records"])
    return [_stated(message)]


def _object(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the message is not JSON: {error}") from error
    if not isinstance(message, dict):
        raise InvalidRequest("the message is not a JSON object")
    return message


def _created(records: Any) -> list[pb.DetectRequest]:
    try:
        return [
            _of_object(record["s3"]["bucket"]["name"], record["s3"]["object"])
            for record in records
            if "ObjectCreated" in record["eventName"] and not _is_verdict(record["s3"]["object"]["key"])
        ]
    except (KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise InvalidRequest(f"the message is no S3 event: {error!r}") from error


def _is_verdict(key: str) -> bool:
    """In a bucket that tells of all its objects, verdicts would get verdicts of their own, without end."""
    return is_result(unquote_plus(key).rpartition("/")[2])


def _of_object(bucket: str, entry: dict[str, str]) -> pb.DetectRequest:
    key = unquote_plus(entry["key"])
    version = f"?versionId={quote(entry['versionId'])}" if "versionId" in entry else ""
    name = f"{bucket}/{key}"
    return pb.DetectRequest(
        id=name if len(name) <= MAX_ID else "",
        media=[pb.Medium(uri=f"s3://{bucket}/{quote(key)}{version}")],
    )


def _stated(message: dict[str, Any]) -> pb.DetectRequest:
    if unknown := set(message) - _KEYS:
        raise InvalidRequest(f"the message has unknown keys: {', '.join(sorted(unknown))}")
    uris = message.get("uri")
    if isinstance(uris, str):
        uris = [uris]
    if not isinstance(uris, list) or not uris or not all(isinstance(uri, str) for uri in uris):
        raise InvalidRequest("the message's uri must be a string, or a list of strings")
    name = message.get("id", "")
    if not isinstance(name, str) or len(name) > MAX_ID:
        raise InvalidRequest(f"the message's id must be a string of at most {MAX_ID} characters")
    try:
        options = ParseDict(message.get("options", {}), pb.DetectOptions())
    except (ParseError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"the message's options: {error}") from error
    try:
        return pb.DetectRequest(id=name, media=[pb.Medium(uri=uri) for uri in uris], options=options)
    except UnicodeError as error:
        raise InvalidRequest("the message's id and uri must be Unicode text") from error
