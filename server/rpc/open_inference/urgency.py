"""How urgent a request of the Open Inference Protocol is: Triton's parameters `priority` and `timeout`."""

import time

from open_inference.v2 import inference_pb2 as pb
from server.errors import InvalidRequest
from server.urgency import Priority, Urgency

# To Triton 1 is the most urgent and 0 the default; it leaves to each model how many there are.
_PRIORITIES = {0: Priority.NORMAL, 1: Priority.INTERACTIVE, 2: Priority.NORMAL}


def urgency_of(request: pb.ModelInferRequest, seconds: float | None, default_seconds: float) -> Urgency:
    """Its priority and its deadline.

    Args:
        request: whose `priority` and `timeout` count; a time-out of 0 is none.
        seconds: until the call's own deadline, None if it has none; the earlier one counts.
        default_seconds: until the deadline of a request that has neither.

    Raises:
        InvalidRequest: a parameter is no whole number.
    """
    limits = [] if seconds is None else [seconds]
    if microseconds := _whole_number(request, "timeout"):
        limits.append(microseconds / 1e6)
    priority = _PRIORITIES.get(_whole_number(request, "priority"), Priority.BATCH)
    return priority, time.monotonic() + min(limits, default=default_seconds)


def _whole_number(request: pb.ModelInferRequest, name: str) -> int:
    if name not in request.parameters:
        return 0
    parameter = request.parameters[name]
    number = parameter.int64_param or parameter.uint64_param
    if parameter.WhichOneof("parameter_choice") not in ("int64_param", "uint64_param") or number < 0:
        raise InvalidRequest(f"parameter {name} must be a whole number, 0 or more")
    return number
