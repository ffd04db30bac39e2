"""No person, source clip or file may be in two splits: what is measured on them would be memory."""

from collections.abc import Iterable, Iterator

from training.errors import LeakError
from training.sample import Sample


def check_leaks(samples: Iterable[Sample]) -> None:
    """Looks at groups, identities and contents of all samples.

    Raises:
        LeakError: one of them is in two splits.
    """
    first: dict[str, Sample] = {}
    for sample in samples:
        for what in _not_to_be_split(sample):
            other = first.setdefault(what, sample)
            if other.split != sample.split:
                raise LeakError(what, {other.path: other.split, sample.path: sample.split})


def _not_to_be_split(sample: Sample) -> Iterator[str]:
    yield f"group {sample.group}"
    for identity in sample.identities:
        yield f"identity {identity}"
    if sample.content_hash:
        yield f"content {sample.content_hash}"
