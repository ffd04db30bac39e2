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
