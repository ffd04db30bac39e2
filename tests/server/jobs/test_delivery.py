"""Deliveries to real HTTP servers."""

import errno
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from deepfake.v1 import detector_pb2 as pb
from server.errors import CorruptMedia, DeliveryFailed, SourceNotFound
from server.jobs import app
from server.jobs.delivery import ToPrefix, ToQueue, ToWebhook, sign
from server.jobs.results import Result, failure, verdict
from server.jobs.settings import JobSettings
from tests.server.jobs.webhook import Receiver, webhook_receiver

REQUEST = pb.DetectRequest(id="one", media=[pb.Medium(uri="s3://media/a.jpg")])


def response(sha256: str = "ab", version: str = "1") -> pb.DetectResponse:
    facts = pb.MediaFacts(source=pb.SourceFacts(sha256=sha256))
    return pb.DetectResponse(
        id="one", verdict=pb.VERDICT_FAKE, fake_probability=0.75, media=[facts], model_version=version
    )


RESULT = verdict(REQUEST, response())


def test_a_result_says_whose_it_is_and_what_it_is() -> None:
    body = json.loads(RESULT.body)
    assert (body["key"], body["id"], body["uris"]) == (RESULT.key, "one", ["s3://media/a.jpg"])
    assert body["response"]["verdict"] == "VERDICT_FAKE"
    assert body["response"]["fake_probability"] == 0.75
    error = json.loads(failure(REQUEST, CorruptMedia("broken", "look")).body)["error"]
    assert error == {"code": "CORRUPT_MEDIA", "message": "broken", "hint": "look"}


def test_the_key_depends_on_what_the_verdict_depends_on_and_nothing_else() -> None:
    slower = response()
    slower.timing.total_seconds = 9.0
    assert verdict(REQUEST, slower).key == RESULT.key
    assert failure(REQUEST, CorruptMedia("a")).key == failure(REQUEST, CorruptMedia("b")).key
    assert failure(REQUEST, CorruptMedia("a")).key != failure(REQUEST, SourceNotFound("a")).key
    stricter = pb.DetectRequest(id="one", media=REQUEST.media, options=pb.DetectOptions(threshold=0.5))
    other = pb.DetectRequest(id="two", media=REQUEST.media)
    copy = pb.DetectRequest(id="one", media=[pb.Medium(uri="s3://media/copy.jpg")])
    renamed = response()
    renamed.model_name = "another"
    keys = {
        RESULT.key,
        verdict(REQUEST, response(sha256="cd")).key,
        verdict(REQUEST, response(version="2")).key,
        verdict(stricter, response()).key,
        verdict(REQUEST, renamed).key,
        verdict(other, response()).key,
        verdict(copy, response()).key,
        failure(REQUEST, CorruptMedia("a")).key,
        failure(copy, CorruptMedia("a")).key,
    }
    assert len(keys) == 9


def test_an_object_is_written_once(endpoint: str) -> None:
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="results")
    delivery = ToPrefix(client, "s3://results/verdicts")
    delivery.deliver(RESULT)
    delivery.deliver(Result(RESULT.key, "one", b"late"))
    delivery.deliver(Result(RESULT.key, "", b"no id"))
    bucket = boto3.resource("s3", endpoint_url=endpoint).Bucket("results")
    found = {entry.key: entry.get()["Body"].read() for entry in bucket.objects.all()}
    assert found == {
        f"verdicts/one/{RESULT.key}.json": RESULT.body,
        f"verdicts/{RESULT.key}.json": b"no id",
    }
    assert {entry.get()["ContentType"] for entry in bucket.objects.all()} == {"application/json"}
    with pytest.raises(SourceNotFound, match=r"^the bucket of s3://nowhere/one/.*\.json does not exist$"):
        ToPrefix(client, "s3://nowhere/").deliver(RESULT)


def test_a_fifo_queue_gets_it_once(endpoint: str) -> None:
    client = boto3.client("sqs", endpoint_url=endpoint)
    url = client.create_queue(QueueName="results.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    delivery = ToQueue(client, url)
    delivery.deliver(RESULT)
    delivery.deliver(RESULT)
    messages = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in messages] == [RESULT.body.decode()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as receiver:
        yield receiver


def webhook(url: str, attempts: int = 3) -> ToWebhook:
    return ToWebhook(url, lambda: b"secret", timeout=2.0, attempts=attempts, connections=1)


def test_the_signature_can_be_checked_by_the_receiver(receiver: Receiver) -> None:
    webhook(receiver.url).deliver(RESULT)
    ((headers, body),) = receiver.received
    assert body == RESULT.body
    assert headers["Idempotency-Key"] == RESULT.key
    found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["Deepfake-Signature"])
    assert found
    assert abs(int(found[1]) - time.time()) < 60
    expected = hmac.new(b"secret", found[1].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(found[2], expected)


def test_a_secret_can_be_replaced(receiver: Receiver, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("old")
    settings = JobSettings(
        queue_url="q", webhook_url=receiver.url, webhook_secret_file=secret, webhook_max_attempts=1
    )
    (delivery,) = app._deliveries(settings, None)
    secret.write_text("new\n")
    delivery.deliver(RESULT)
    ((headers, body),) = receiver.received
    signature = headers["Deepfake-Signature"]
    assert signature == sign(body, b"new", int(signature[2:].partition(",")[0]))
    secret.write_text("\n")
    with pytest.raises(DeliveryFailed, match="secret is empty"):
        delivery.deliver(RESULT)
    secret.unlink()
    with pytest.raises(DeliveryFailed, match="secret cannot be read"):
        delivery.deliver(RESULT)
    assert len(receiver.received) == 1


def test_a_secret_that_is_just_being_replaced_is_read_again(receiver: Receiver) -> None:
    found = iter([None, b"", b"new"])

    def secret() -> bytes:
        if (now := next(found)) is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return now

    ToWebhook(receiver.url, secret, timeout=2.0, attempts=3, connections=1).deliver(RESULT)
    assert len(receiver.received) == 1


def test_a_busy_receiver_is_tried_again(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.jobs.delivery._FIRST_PAUSE_SECONDS", 0.001)
    receiver.failures = [408, 425, 429, 500, 502, 503, 504]
    webhook(receiver.url, attempts=8).deliver(RESULT)
    assert [body for _, body in receiver.received] == [RESULT.body] * 8


def test_a_receiver_does_not_choose_how_long_it_is_waited_for(receiver: Receiver) -> None:
    receiver.failures, receiver.retry_after = [503], "3600"
    webhook(receiver.url).deliver(RESULT)
    assert len(receiver.received) == 2


@pytest.mark.parametrize("statuses", [[200], [503, 200]], ids=["taken", "busy first"])
def test_a_receiver_that_never_ends_its_answer_is_not_waited_for(
    receiver: Receiver, statuses: list[int]
) -> None:
    receiver.failures, receiver.endless = statuses.copy(), True
    delivering = threading.Thread(target=webhook(receiver.url).deliver, args=[RESULT], daemon=True)
    delivering.start()
    delivering.join(10)
    assert not delivering.is_alive()
    assert len(receiver.received) == len(statuses)


@pytest.mark.parametrize(("failures", "tries"), [([500] * 9, 2), ([401], 1), ([302], 1)])
def test_a_receiver_that_does_not_take_it_is_an_error(
    receiver: Receiver, failures: list[int], tries: int
) -> None:
    receiver.failures = failures
    with pytest.raises(DeliveryFailed):
        webhook(receiver.url, attempts=2).deliver(RESULT)
    assert len(receiver.received) == tries


def test_all_that_is_delivered_at_once_has_a_connection(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    settings = JobSettings(queue_url="q", webhook_url=receiver.url, webhook_secret="s", max_jobs=40)
    (delivery,) = app._deliveries(settings, None)
    with ThreadPoolExecutor(40) as threads:
        list(threads.map(delivery.deliver, [RESULT] * 80))
    assert "pool is full" not in caplog.text
    assert settings.aws.max_connections >= 40


def test_nobody_there_is_an_error_after_all_attempts() -> None:
    secrets = [b"one", b"two"]
    with pytest.raises(DeliveryFailed):
        ToWebhook("http://127.0.0.1:9/", secrets.pop, timeout=2.0, attempts=2, connections=1).deliver(RESULT)
    assert secrets == []


def test_a_receiver_that_says_nothing_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(DeliveryFailed, match="ReadTimeout"):
            ToWebhook(url, lambda: b"secret", timeout=0.2, attempts=1, connections=1).deliver(RESULT)
