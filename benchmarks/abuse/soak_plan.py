"""What a soak does, and for how long."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """What to do. `model` is .../<name>/<version>/model.onnx.

    Attributes:
        seconds: of load.
        clients: callers of the closed loop, and of the one that measures the capacity.
        load: arrivals as a multiple of the capacity; 0: a closed loop of `clients`, without any abuse.
        deadline: seconds, of each request.
        kill_every: seconds from the end of one of them to that of the next.
        replace_after: share of the time before the model is replaced.
        warm_up: seconds in which the capacity is measured, and in which memory may grow.
    """

    model: Path
    seconds: float
    clients: int = 32
    load: float = 2.0
    deadline: float = 10.0
    kill_every: float = 20.0
    replace_after: float = 0.5
    warm_up: float = 10.0

    @property
    def abusive(self) -> bool:
        return self.load > 0
