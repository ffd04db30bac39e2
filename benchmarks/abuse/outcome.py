"""What became of a request."""

from dataclasses import dataclass

OK = "OK"
REFUSED, LATE = "OVERLOADED", "DEADLINE_EXCEEDED"
CANCELLED = "CANCELLED_BY_CALLER"
SWAPPED = "ANSWER_OF_ANOTHER_REQUEST"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request.

    Attributes:
        medium: its number in the corpus.
        code: OK, the code of the error, CANCELLED or SWAPPED.
        seconds: until then.
        probability: the answer's; None without one.
        version: of the model that answered.
    """

    medium: int
    code: str
    seconds: float
    probability: float | None = None
    version: str = ""

    @property
    def answered(self) -> bool:
        """Whether the server said what its medium is; not if there was no time for that, or no patience."""
        return self.code not in (REFUSED, LATE, CANCELLED)
