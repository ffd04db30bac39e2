"""The SQS queue that is worked on."""

import json
from dataclasses import dataclass
from typing import Any

from server.aws import typed_errors
from server.errors import DetectorError, InvalidRequest

_RECEIVE_AT_ONCE = 10
_MAX_ATTRIBUTE = 1024


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is ours until its visibility timeout.

    Attributes:
        receives: how often it has been received, this time included.
    """

    id: str
    receipt: str
    body: str
    receives: int


def once(url: str, key: str) -> dict[str, str]:
    """What makes a FIFO queue drop a message that it got within five minutes; nothing for other queues."""
    return {"MessageGroupId": key, "MessageDeduplicationId": key} if url.endswith(".fifo") else {}


class Queue:
    """Blocking calls, from any thread.

    Args:
        client: boto3's for SQS.
        dead_letters: URL of the queue for what cannot be worked off; None for the one that the queue's
            redrive policy names.
        visibility: seconds that a message stays ours.

    Raises (every method):
        SourceError: the queue cannot be used.
    """

    def __init__(self, client: Any, url: str, dead_letters: str | None, visibility: int) -> None:
        self._client = client
        self._url = url
        self._visibility = visibility
        self._dead_letters = dead_letters or self._from_redrive_policy()

    def receive(self, count: int, wait: int) -> list[Message]:
        """Up to `count` messages; waits up to `wait` seconds for the first."""
        with typed_errors(self._url):
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(count, _RECEIVE_AT_ONCE),
                WaitTimeSeconds=wait,
                VisibilityTimeout=self._visibility,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        return [
            Message(
                entry["MessageId"],
                entry["ReceiptHandle"],
                entry["Body"],
                int(entry["Attributes"]["ApproximateReceiveCount"]),
            )
            for entry in answer.get("Messages", ())
        ]

    def keep(self, message: Message) -> None:
        """Makes it ours for another visibility timeout."""
        self._change_visibility(message, self._visibility)

    def release(self, message: Message, seconds: float = 0) -> None:
        """Lets others have it, after so many seconds."""
        self._change_visibility(message, round(seconds))

    def delete(self, message: Message) -> None:
        with typed_errors(self._url):
            self._client.delete_message(QueueUrl=self._url, ReceiptHandle=message.receipt)

    def bury(self, message: Message, error: DetectorError) -> None:
        """Moves it to the dead letters, with the error as attributes ErrorCode and ErrorMessage."""
        # SQS takes no control characters.
        text = "".join(char if char.isprintable() else " " for char in error.message[:_MAX_ATTRIBUTE])
        attributes = {"ErrorCode": error.code, "ErrorMessage": text or error.code}
        with typed_errors(self._dead_letters):
            self._client.send_message(
                QueueUrl=self._dead_letters,
                MessageBody=message.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
                **once(self._dead_letters, message.id),
            )
        self.delete(message)

    def _change_visibility(self, message: Message, seconds: int) -> None:
        with typed_errors(self._url):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=message.receipt, VisibilityTimeout=seconds
            )

    def _from_redrive_policy(self) -> str:
        with typed_errors(self._url):
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["RedrivePolicy"])
            policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "{}"))
            if "deadLetterTargetArn" not in policy:
                raise InvalidRequest(
                    f"{self._url} has no dead-letter queue", "Give it one, or set --dead-letter-queue-url."
                )
            *_, owner, name = policy["deadLetterTargetArn"].split(":")
            return str(self._client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=owner)["QueueUrl"])
