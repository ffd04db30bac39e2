import boto3

from server.errors import CorruptMedia
from server.jobs.queue import Queue


def test_a_fifo_queue_of_dead_letters_gets_each_once(endpoint: str) -> None:
    client = boto3.client("sqs", endpoint_url=endpoint)
    fifo = {"FifoQueue": "true"}
    uploads, dead = (
        client.create_queue(QueueName=name, Attributes=fifo)["QueueUrl"]
        for name in ("uploads.fifo", "dead.fifo")
    )
    client.send_message(QueueUrl=uploads, MessageBody="{}", MessageGroupId="a", MessageDeduplicationId="a")
    queue = Queue(client, uploads, dead, visibility=30)
    (message,) = queue.receive(1, 1)
    for _ in range(2):
        queue.bury(message, CorruptMedia("cut short"))
    found = client.receive_message(QueueUrl=dead, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    (letter,) = found["Messages"]
    assert letter["Body"] == "{}"
    assert letter["MessageAttributes"]["ErrorMessage"]["StringValue"] == "cut short"


def test_a_message_is_ours_until_its_timeout_or_the_end_of_its_pause(endpoint: str) -> None:
    client = boto3.client("sqs", endpoint_url=endpoint)
    url = client.create_queue(QueueName="kept", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody="{}")
    queue = Queue(client, url, url, visibility=600)
    (message,) = queue.receive(16, 1)  # more than SQS gives at once
    assert queue.receive(1, 0) == []
    queue.release(message, 600)
    assert queue.receive(1, 0) == []
    queue.release(message)
    (again,) = queue.receive(1, 1)
    queue.release(again)
    queue.keep(again)
    assert queue.receive(1, 0) == []
    assert (message.receives, again.receives) == (1, 2)
