import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.v1 import detector_pb2 as pb
from server.errors import InvalidRequest
from server.jobs.messages import requests


def s3_event(key: str, name: str = "ObjectCreated:Put", **entry: Any) -> dict[str, Any]:
    s3 = {"bucket": {"name": "media"}, "object": {"key": key, "size": 1, **entry}}
    return {"Records": [{"eventSource": "aws:s3", "eventName": name, "s3": s3}]}


def test_a_message_names_media_and_options() -> None:
    body = {
        "id": "upload-1",
        "uri": ["s3://media/a.jpg", "s3://media/b.mp3"],
        "options": {"threshold": 0.5, "modalities": ["MODALITY_IMAGE"], "weights": {"image": 1}},
    }
    assert requests(json.dumps(body)) == [
        pb.DetectRequest(
            id="upload-1",
            media=[pb.Medium(uri="s3://media/a.jpg"), pb.Medium(uri="s3://media/b.mp3")],
            options=pb.DetectOptions(
                threshold=0.5, modalities=[pb.MODALITY_IMAGE], weights=pb.FusionWeights(image=1)
            ),
        )
    ]


def test_a_uri_is_enough() -> None:
    (request,) = requests('{"uri": "s3://media/a.jpg"}')
    assert (request.id, list(request.media)) == ("", [pb.Medium(uri="s3://media/a.jpg")])


@pytest.mark.parametrize("name", ["ObjectCreated:Put", "ObjectCreated:CompleteMultipartUpload"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["s3", "sns"])
def test_s3_says_that_an_object_was_created(wrapped: bool, name: str) -> None:
    event = s3_event("folder/caf%C3%A9+1%2B1%3F.jpg", name, eTag="0123", versionId="v/1")
    if wrapped:
        event = {"Type": "Notification", "MessageId": "1", "Message": json.dumps(event)}
    assert requests(json.dumps(event)) == [
        pb.DetectRequest(
            id="media/folder/café 1+1?.jpg",
            media=[pb.Medium(uri="s3://media/folder/caf%C3%A9%201%2B1%3F.jpg?versionId=v/1")],
        )
    ]


@pytest.mark.parametrize("key", [f"{'0a' * 32}.json.jpg", f"a{'0a' * 32}.json", "0a.json"])
def test_what_is_not_named_as_a_verdict_is_judged(key: str) -> None:
    (request,) = requests(json.dumps(s3_event(key)))
    assert request.media[0].uri == f"s3://media/{key}"


def test_of_a_very_long_key_there_is_no_id() -> None:
    (request,) = requests(json.dumps(s3_event("k" * 1000)))
    assert (request.id, request.media[0].uri) == ("", f"s3://media/{'k' * 1000}")


@pytest.mark.parametrize(
    "message",
    [
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "media"},
        s3_event("a.jpg", "ObjectRemoved:Delete"),
        s3_event(f"verdicts/media/a+b.jpg/{'0af' * 21}0.json"),
        s3_event(f"{'0af' * 21}0.json"),
    ],
)
def test_some_of_what_s3_says_asks_for_nothing(message: dict[str, Any]) -> None:
    assert requests(json.dumps(message)) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "s3://media/a.jpg",
        "[]",
        "{}",
        '{"uri": []}',
        '{"uri": [1]}',
        '{"uri": {"a": 1}}',
        '{"uri": "s3://media/a.jpg", "ids": "x"}',
        '{"uri": "s3://media/a.jpg", "id": 7}',
        '{"uri": "s3://media/a.jpg", "id": "' + "x" * 257 + '"}',
        '{"uri": "s3://media/a.jpg", "options": {"treshold": 0.5}}',
        '{"uri": "s3://media/a.jpg", "options": {"threshold": "high"}}',
        '{"uri": "s3://media/a.jpg", "options": [1]}',
        '{"Records": [{"s3": {}}]}',
        '{"Records": 7}',
        json.dumps(s3_event("\ud800.jpg")),
        '{"Type": "Notification", "Message": "hello"}',
        "[" * 100_000,
    ],
)
def test_anything_else_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest):
        requests(body)


KEYS = st.sampled_from(
    ["id", "uri", "options", "Records", "s3", "eventName", "Type", "Message", "object", "key"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.just("ObjectCreated"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_no_message_breaks_the_worker(message: dict[str, Any]) -> None:
    with suppress(InvalidRequest):
        assert all(request.media for request in requests(json.dumps(message)))


@pytest.mark.parametrize("field", ["id", "uri"])
def test_half_a_surrogate_pair_is_no_text(field: str) -> None:
    with pytest.raises(InvalidRequest, match="Unicode"):
        requests(json.dumps({"uri": "s3://media/a.jpg", field: "s3://media/\ud800"}))
