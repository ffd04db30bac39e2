"""How each server is spoken to: what a request looks like in its protocol, and where the answer is."""

import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.peers.launch import ANSWER, MODEL, PAYLOAD
from deepfake.v1 import detector_pb2 as pb
from open_inference.v2 import inference_pb2 as v2


@dataclass(frozen=True, slots=True)
class Pixels:
    """What a payload is: uint8 RGB, height × width × 3 bytes, or a JPEG file if `encoded`."""

    height: int
    width: int
    encoded: bool


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to speak.

    Attributes:
        path: of the gRPC method or the HTTP resource.
        encode: the payload of one request into a message.
        decode: the message that answers it into a probability.
    """

    protocol: Literal["grpc", "http"]
    path: str
    encode: Callable[[bytes, Pixels], bytes]
    decode: Callable[[bytes], float]
    content_type: str = "application/grpc"


def _detect_request(payload: bytes, pixels: Pixels) -> bytes:
    if pixels.encoded:
        medium = pb.Medium(content=payload)
    else:
        frames = pb.RawFrames(rgb=payload, count=1, height=pixels.height, width=pixels.width)
        medium = pb.Medium(frames=frames)
    options = pb.DetectOptions(modalities=[pb.MODALITY_IMAGE])
    return pb.DetectRequest(media=[medium], options=options).SerializeToString()


def _detect_answer(message: bytes) -> float:
    return pb.DetectResponse.FromString(message).fake_probability


def _infer_request(payload: bytes, pixels: Pixels) -> bytes:
    if pixels.encoded:
        # A BYTES tensor of one element, which its length precedes.
        datatype, shape, raw = "BYTES", [1, 1], struct.pack("<I", len(payload)) + payload
    else:
        datatype, shape, raw = "UINT8", [1, pixels.height, pixels.width, 3], payload
    request = v2.ModelInferRequest(model_name=MODEL, raw_input_contents=[raw])
    request.inputs.add(name=PAYLOAD, datatype=datatype, shape=shape)
    request.outputs.add(name=ANSWER)
    return request.SerializeToString()


def _infer_answer(message: bytes) -> float:
    answer = v2.ModelInferResponse.FromString(message)
    if answer.raw_output_contents:
        return float(struct.unpack("<f", answer.raw_output_contents[0])[0])
    return answer.outputs[0].contents.fp32_contents[0]


def _as_it_is(payload: bytes, _: Pixels) -> bytes:
    return payload


def _float32(message: bytes) -> float:
    return float(struct.unpack("<f", message[:4])[0])


def _json_number(message: bytes) -> float:
    return float(json.loads(message))


CODECS = {
    "detect": Codec("grpc", "/deepfake.v1.Detector/Detect", _detect_request, _detect_answer),
    "infer": Codec("grpc", "/inference.GRPCInferenceService/ModelInfer", _infer_request, _infer_answer),
    "bytes": Codec("grpc", "/benchmarks.Peer/Score", _as_it_is, _float32),
    "http": Codec("http", "/predict", _as_it_is, _json_number, "application/octet-stream"),
}


def write_messages(codec: str, payloads: Iterable[bytes], pixels: Pixels, folder: Path) -> list[str]:
    """A file for the message of each payload, for callers to send."""
    encode = CODECS[codec].encode
    files = []
    for number, payload in enumerate(payloads):
        file = folder / f"{codec}-{number}.bin"
        file.write_bytes(encode(payload, pixels))
        files.append(str(file))
    return files
