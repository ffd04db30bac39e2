"""A client that has no stubs, only what the server tells of itself."""

import json
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from server.app import Server


def test_the_error_in_an_answer_of_a_stream_can_be_shown_whole(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        pool: Any = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        stream = pool.FindServiceByName("deepfake.v1.Detector").methods_by_name["DetectStream"]
        request, response = GetMessageClass(stream.input_type), GetMessageClass(stream.output_type)
        call: Any = channel.stream_stream(
            "/deepfake.v1.Detector/DetectStream", request.SerializeToString, response.FromString
        )
        (answer,) = call(iter([request(id="without media")]), timeout=30)
        shown = json.loads(json_format.MessageToJson(answer, descriptor_pool=pool))
    assert shown["id"] == "without media"
    assert [detail["reason"] for detail in shown["error"]["details"]] == ["INVALID_REQUEST"]
