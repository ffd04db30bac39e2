"""Requests that carry media: whole, decoded, or in the parts of an upload."""

from typing import Any

from deepfake.v1 import detector_pb2 as pb
from tests.tiny_graph import SIZE


def detect_request(*contents: bytes | pb.Medium, request_id: str = "", **options: Any) -> pb.DetectRequest:
    """These media of one subject, each as its bytes or as a message."""
    media = [one if isinstance(one, pb.Medium) else pb.Medium(content=one) for one in contents]
    chosen = pb.DetectOptions(**options) if options else None
    return pb.DetectRequest(id=request_id, media=media, options=chosen)


def decoded_picture(shade: int = 0) -> pb.Medium:
    """One decoded picture of the tiny detector's size, of one grey."""
    rgb = bytes([shade]) * (SIZE * SIZE * 3)
    return pb.Medium(frames=pb.RawFrames(rgb=rgb, count=1, height=SIZE, width=SIZE))


def header(**fields: Any) -> pb.DetectUploadRequest:
    return pb.DetectUploadRequest(header=pb.DetectUploadHeader(**fields))


def chunk(content: bytes) -> pb.DetectUploadRequest:
    return pb.DetectUploadRequest(chunk=content)


def upload(content: bytes, step: int, **fields: Any) -> list[pb.DetectUploadRequest]:
    """A header with these fields, and the content in chunks of `step` bytes."""
    return [header(**fields), *(chunk(content[at : at + step]) for at in range(0, len(content), step))]
