import time

import pytest

from open_inference.v2 import inference_pb2 as pb
from server.rpc.open_inference.urgency import urgency_of
from server.urgency import Priority


def request(**parameters: int) -> pb.ModelInferRequest:
    values = {name: pb.InferParameter(uint64_param=value) for name, value in parameters.items()}
    return pb.ModelInferRequest(parameters=values)


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        (0, Priority.NORMAL),
        (1, Priority.INTERACTIVE),
        (2, Priority.NORMAL),
        (3, Priority.BATCH),
        (2**64 - 1, Priority.BATCH),
    ],
)
def test_one_is_the_most_urgent_as_in_triton(priority: int, expected: Priority) -> None:
    assert urgency_of(request(priority=priority), None, 60)[0] == expected


def test_without_parameters_the_defaults_hold() -> None:
    priority, deadline = urgency_of(request(), None, 60)
    assert priority == Priority.NORMAL
    assert deadline - time.monotonic() == pytest.approx(60, abs=1)


@pytest.mark.parametrize(
    ("timeout", "seconds", "expected"),
    [
        (0, 20, 20),
        (5_000_000, None, 5),
        (5_000_000, 20, 5),
        (50_000_000, 20, 20),
        (2**64 - 1, None, 2**64 / 1e6),
    ],
)
def test_the_earlier_deadline_counts(timeout: int, seconds: float | None, expected: float) -> None:
    _, deadline = urgency_of(request(timeout=timeout), seconds, 60)
    assert deadline - time.monotonic() == pytest.approx(expected, abs=1)
