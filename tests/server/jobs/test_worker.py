"""Real worker processes on a real queue and a real store (moto in server mode)."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from benchmarks.processes import free_port
from tests import media
from tests.aws import Fault, faulty_proxy, s3_error
from tests.metrics import samples
from tests.server.jobs.webhook import webhook_receiver
from tests.server_process import ROOT, ready_process
from tests.tiny_graph import put_version
from tests.waiting import until

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Aws:
    """Buckets media and results, and two queues of this test alone."""

    endpoint: str
    queue: Any
    dead: Any
    media: Any
    results: Any

    def send(self, message: dict[str, Any] | str) -> None:
        self.queue.send_message(MessageBody=message if isinstance(message, str) else json.dumps(message))

    def verdicts(self) -> list[dict[str, Any]]:
        return [json.loads(entry.get()["Body"].read()) for entry in self.results.objects.all()]

    def unfinished(self) -> int:
        """Messages that are waiting or being worked on."""
        self.queue.reload()
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(self.queue.attributes[name]) for name in names)

    def dead_letters(self) -> list[tuple[str, str]]:
        """Body and error code of each."""
        found = []
        while batch := self.dead.receive_messages(MessageAttributeNames=["All"], MaxNumberOfMessages=10):
            found += [(entry.body, entry.message_attributes["ErrorCode"]["StringValue"]) for entry in batch]
        return found


@pytest.fixture
def aws(endpoint: str) -> Aws:
    name = uuid.uuid4().hex
    s3 = boto3.resource("s3", endpoint_url=endpoint)
    sqs = boto3.resource("sqs", endpoint_url=endpoint)
    dead = sqs.create_queue(QueueName=f"{name}-dead")
    policy = {"deadLetterTargetArn": dead.attributes["QueueArn"], "maxReceiveCount": 100}
    queue = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(policy)})
    buckets = [s3.create_bucket(Bucket=f"{kind}-{name}") for kind in ("media", "results")]
    return Aws(endpoint, queue, dead, *buckets)


@contextmanager
def worker(aws: Aws, models: Path, **settings: object) -> Iterator["subprocess.Popen[str]"]:
    """A worker that has begun to work."""
    values = {
        "models": models,
        "s3_buckets": aws.media.name,
        "s3_endpoint": aws.endpoint,
        "sqs_endpoint": aws.endpoint,
        "queue_url": aws.queue.url,
        "result_prefix": f"s3://{aws.results.name}/",
        # Longer than a busy machine stops a worker, whose messages would come a second time.
        "visibility_timeout_seconds": 60,
        "poll_seconds": 1,
        "retry_seconds": 0,
        **settings,
    }
    flags = [part for name, value in values.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    with ready_process([sys.executable, "-m", "server.jobs", *flags], "working on") as (process, _):
        yield process


def outcomes(metrics_port: int) -> dict[str, float]:
    """How many messages had each."""
    return {
        sample.labels["outcome"]: sample.value
        for sample in samples(metrics_port)
        if sample.name == "deepfake_job_messages_total" and sample.value
    }


def s3_event(bucket: str, key: str) -> dict[str, Any]:
    s3 = {"bucket": {"name": bucket}, "object": {"key": key}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": s3}]}


def test_each_message_ends_as_a_verdict_or_as_a_dead_letter(aws: Aws, models: Path) -> None:
    bucket = aws.media.name
    aws.media.put_object(Key="photo 1.jpg", Body=media.photo_jpeg(64, 48))
    aws.media.put_object(Key="speech.wav", Body=media.speech_wav(1.0))
    aws.media.put_object(Key="broken.jpg", Body=media.photo_jpeg(64, 48)[:200])
    aws.send({"id": "one", "uri": f"s3://{bucket}/photo%201.jpg", "options": {"timeline": True}})
    aws.send({"id": "both", "uri": [f"s3://{bucket}/photo%201.jpg", f"s3://{bucket}/speech.wav"]})
    both = [record for key in ("photo+1.jpg", "speech.wav") for record in s3_event(bucket, key)["Records"]]
    aws.send({"Type": "Notification", "Message": json.dumps({"Records": both})})
    aws.send({"id": "broken", "uri": f"s3://{bucket}/broken.jpg"})
    aws.send({"id": "gone", "uri": f"s3://{bucket}/gone.jpg"})
    aws.send({"Event": "s3:TestEvent"})
    hopeless = {
        "hello": "INVALID_REQUEST",
        '{"uri": "s3://elsewhere/x.jpg"}': "SOURCE_NOT_ALLOWED",
        json.dumps({"uri": f"s3://{bucket}/photo%201.jpg", "options": {"threshold": 7}}): "INVALID_REQUEST",
    }
    for body in hopeless:
        aws.send(body)
    with worker(aws, models) as process:
        until(lambda: aws.unfinished() == 0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    verdicts = {verdict["id"]: verdict for verdict in aws.verdicts()}
    assert set(verdicts) == {"one", "both", f"{bucket}/photo 1.jpg", f"{bucket}/speech.wav", "broken", "gone"}
    one = verdicts["one"]["response"]
    assert one["verdict"].startswith("VERDICT_")
    assert one["timeline"]
    assert one["media"][0]["source"]["sha256"]
    assert [facts["kind"] for facts in verdicts["both"]["response"]["media"]] == [
        "MEDIA_KIND_IMAGE",
        "MEDIA_KIND_AUDIO",
    ]
    assert verdicts["broken"]["error"]["code"] == "CORRUPT_MEDIA"
    assert verdicts["gone"]["error"]["code"] == "SOURCE_NOT_FOUND"
    assert dict(aws.dead_letters()) == hopeless


def test_waiting_for_messages_is_no_silence_of_aws(aws: Aws, models: Path) -> None:
    port = free_port()
    settings = {"poll_seconds": 20, "aws_read_timeout_seconds": 1, "aws_max_attempts": 1}
    with worker(aws, models, metrics_port=port, **settings):
        time.sleep(1.5)
        assert outcomes(port) == {}


def test_kills_lose_nothing_and_double_nothing(aws: Aws, models: Path) -> None:
    count = 40
    for number in range(count):
        key = f"{number}.jpg"
        aws.media.put_object(Key=key, Body=media.photo_jpeg(64, 48, seed=number % 4))
        aws.send({"id": str(number), "uri": f"s3://{aws.media.name}/{key}"})
    # With little at once, there is always something left when the next is killed.
    settings = {"max_jobs": 3, "visibility_timeout_seconds": 2}
    with worker(aws, models, **settings) as survivor:
        for done in (3, 8, 13):
            with worker(aws, models, **settings) as victim:
                until(lambda done=done: len(list(aws.results.objects.all())) >= done)  # type: ignore[misc]
                victim.send_signal(signal.SIGKILL)
        until(lambda: aws.unfinished() == 0)
        assert survivor.poll() is None
    verdicts = aws.verdicts()
    assert sorted(int(verdict["id"]) for verdict in verdicts) == list(range(count))
    assert all("response" in verdict for verdict in verdicts)
    assert aws.dead_letters() == []


def test_a_message_stays_ours_while_we_work_on_it(aws: Aws, models: Path) -> None:
    aws.media.put_object(Key="slow.jpg", Body=media.photo_jpeg(64, 48))
    with faulty_proxy(aws.endpoint) as proxy:
        # Longer than the visibility timeout.
        proxy.faults = [Fault(delay=10.0)]
        settings = {"s3_endpoint": proxy.url, "max_receives": 1, "visibility_timeout_seconds": 5}
        with worker(aws, models, **settings), worker(aws, models, **settings):
            aws.send({"id": "slow", "uri": f"s3://{aws.media.name}/slow.jpg"})
            until(lambda: aws.verdicts())
            until(lambda: aws.unfinished() == 0)
        assert [path for method, path, _ in proxy.requests if method == "GET"] == [
            f"/{aws.media.name}/slow.jpg"
        ]
    assert aws.dead_letters() == []


def test_what_may_pass_is_tried_again_and_what_does_not_is_a_dead_letter(aws: Aws, models: Path) -> None:
    aws.media.put_object(Key="a.jpg", Body=media.photo_jpeg(64, 48))
    with faulty_proxy(aws.endpoint) as proxy:
        proxy.faults = [s3_error(503, "SlowDown"), s3_error(403, "AccessDenied")]
        settings = {"s3_endpoint": proxy.url, "aws_max_attempts": 1, "max_jobs": 1, "max_receives": 3}
        port = free_port()
        with worker(aws, models, metrics_port=port, **settings):
            aws.send({"id": "late", "uri": f"s3://{aws.media.name}/a.jpg"})
            until(lambda: aws.unfinished() == 0)
            assert [verdict["id"] for verdict in aws.verdicts()] == ["late"]
            proxy.faults = [s3_error(403, "AccessDenied")] * 3
            aws.send({"id": "never", "uri": f"s3://{aws.media.name}/a.jpg"})
            until(lambda: aws.unfinished() == 0)
            until(lambda: outcomes(port) == {"DELIVERED": 1, "RETRIED": 4, "DEAD_LETTER": 1})
            aws.queue.delete()
            until(lambda: "NOT_FETCHED" in outcomes(port))
    ((body, code),) = aws.dead_letters()
    assert (json.loads(body)["id"], code) == ("never", "SOURCE_DENIED")


def test_an_answer_of_the_queue_that_is_none_does_not_end_the_worker(aws: Aws, models: Path) -> None:
    aws.media.put_object(Key="a.jpg", Body=media.photo_jpeg(64, 48))
    with (
        faulty_proxy(aws.endpoint) as proxy,
        worker(aws, models, sqs_endpoint=proxy.url, aws_max_attempts=1) as process,
    ):
        proxy.faults += [Fault(200, "null")] * 2
        until(lambda: not proxy.faults, PATIENCE_SECONDS)
        aws.send(s3_event(aws.media.name, "a.jpg"))
        until(aws.verdicts, PATIENCE_SECONDS)
        assert process.poll() is None


def test_verdicts_beside_the_media_get_no_verdicts_of_their_own(aws: Aws, models: Path) -> None:
    told = {"QueueArn": aws.queue.attributes["QueueArn"], "Events": ["s3:ObjectCreated:*"]}
    aws.media.Notification().put(NotificationConfiguration={"QueueConfigurations": [told]})
    port = free_port()
    with worker(aws, models, result_prefix=f"s3://{aws.media.name}/verdicts/", metrics_port=port):
        aws.media.put_object(Key="a.jpg", Body=media.photo_jpeg(64, 48))
        # S3's test event, the photo, and its verdict.
        until(lambda: outcomes(port) == {"DELIVERED": 3})
        until(lambda: aws.unfinished() == 0)
    assert len(list(aws.media.objects.all())) == 2


def test_a_busy_worker_makes_its_messages_wait(aws: Aws, models: Path) -> None:
    aws.media.put_object(Key="a.jpg", Body=media.photo_jpeg(64, 48))
    for number in range(8):
        aws.send({"id": str(number), "uri": f"s3://{aws.media.name}/a.jpg"})
    with worker(aws, models, max_queue_size=1, max_jobs=8, max_receives=1):
        until(lambda: aws.unfinished() == 0)
    assert len(aws.verdicts()) == 8
    assert aws.dead_letters() == []


def test_a_message_that_workers_do_not_survive_is_a_dead_letter(aws: Aws, models: Path) -> None:
    aws.send({"uri": f"s3://{aws.media.name}/killer.jpg"})
    for _ in range(2):
        (received,) = aws.queue.receive_messages(VisibilityTimeout=0)
    with worker(aws, models, max_receives=2):
        until(lambda: aws.unfinished() == 0)
    assert aws.dead_letters() == [(received.body, "ENGINE_FAILED")]


def test_sigterm_finishes_what_was_begun_and_leaves_the_rest(aws: Aws, models: Path) -> None:
    aws.media.put_object(Key="a.jpg", Body=media.photo_jpeg(64, 48))
    for number in range(30):
        aws.send({"id": str(number), "uri": f"s3://{aws.media.name}/a.jpg"})
    with worker(aws, models, max_jobs=2) as process:
        until(lambda: len(aws.verdicts()) >= 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
    aws.queue.reload()
    left = int(aws.queue.attributes["ApproximateNumberOfMessages"])
    assert len(aws.verdicts()) + left == 30
    assert left > 0
    assert aws.queue.attributes["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_sighup_looks_for_another_version_at_once(aws: Aws, tmp_path: Path) -> None:
    put_version(tmp_path / "models", "1")
    with worker(aws, tmp_path / "models", model_poll_seconds=0) as process:
        put_version(tmp_path / "models", "2")
        process.send_signal(signal.SIGHUP)
        aws.media.put_object(Key="photo.jpg", Body=media.photo_jpeg(64, 48))

        def new() -> bool:
            aws.send({"uri": f"s3://{aws.media.name}/photo.jpg"})
            return any(verdict["response"]["model_version"] == "2" for verdict in aws.verdicts())

        until(new)


def test_a_webhook_and_a_queue_get_each_verdict(aws: Aws, models: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("shared\n")
    results = boto3.resource("sqs", endpoint_url=aws.endpoint).create_queue(QueueName=f"r-{uuid.uuid4().hex}")
    with webhook_receiver() as receiver:
        receiver.failures = [503] * 4
        settings = {"webhook_url": receiver.url, "webhook_secret_file": secret, "webhook_max_attempts": 2}
        with worker(aws, models, result_queue_url=results.url, **settings):
            for number in range(3):
                aws.send({"id": str(number), "uri": f"s3://{aws.media.name}/gone.jpg"})
            until(lambda: aws.unfinished() == 0)
    delivered = [json.loads(body) for _, body in receiver.received]
    assert {result["id"] for result in delivered} == {"0", "1", "2"}
    assert len(delivered) == 7
    assert all("v1=" in headers["Deepfake-Signature"] for headers, _ in receiver.received)
    queued = [
        json.loads(message.body)["key"]
        for _ in range(3)
        for message in results.receive_messages(MaxNumberOfMessages=10)
    ]
    # This queue cannot know that a webhook failed later; the keys tell.
    assert set(queued) == {result["key"] for result in delivered}
    assert aws.dead_letters() == []


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        ([], 2, "queue_url"),
        (["--webhook-timeout-seconds", "inf"], 2, "webhook_timeout_seconds"),
        (["--queue-url", "http://127.0.0.1:9/q"], 2, "--result-prefix"),
        (["--queue-url", "http://127.0.0.1:9/q", "--webhook-url", "http://127.0.0.1:9"], 2, "webhook_secret"),
        (
            ["--queue-url", "{endpoint}/123456789012/none", "--result-prefix", "s3://r/"],
            1,
            "SOURCE_NOT_FOUND",
        ),
        (
            [
                "--queue-url",
                "http://127.0.0.1:9/q",
                "--result-prefix",
                "s3://r/",
                "--sqs-endpoint",
                "http://[x",
            ],
            1,
            "SOURCE_DENIED",
        ),
    ],
)
def test_a_wrong_start_says_why(endpoint: str, flags: list[str], status: int, said: str) -> None:
    arguments = [flag.replace("{endpoint}", endpoint) for flag in flags]
    command = [sys.executable, "-m", "server.jobs", "--sqs-endpoint", endpoint, *arguments]
    failed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ)
    assert failed.returncode == status, failed.stderr
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_secret_is_not_printed() -> None:
    command = [sys.executable, "-m", "server.jobs", "--queue-url", "q", "--webhook-url", "http://h"]
    environment = os.environ | {"DEEPFAKE_WEBHOOK_SECRET": "very-secret"}
    printed = subprocess.run(
        [*command, "--print-config"], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    assert "webhook_secret" in printed.stdout
    assert "very-secret" not in printed.stdout
