"""No person, source clip or file may be in two splits: what is measured on them would be memory."""

from collections.abc import Iterable

from training.errors import LeakError
from training.sample import Sample


def check_leaks(samples: Iterable[Sample]) -> None:
    """Looks at groups, identities and contents of all samples, or paths where contents are unknown.

    Raises:
        LeakError: one of them is in two splits.
    """
    # Keyed by the samples' own strings, which cost nothing more.
    groups: dict[str, Sample] = {}
    identities: dict[str, Sample] = {}
    contents: dict[str, Sample] = {}
    files: dict[str, Sample] = {}
    for sample in samples:
        _check("group", sample.group, sample, groups)
        for name in sample.identities:
            _check("identity", name, sample, identities)
        if sample.content_hash:
            _check("content", sample.content_hash, sample, contents)
        else:
            _check("file", sample.path, sample, files)


def _check(what: str, name: str, sample: Sample, first: dict[str, Sample]) -> None:
    other = first.setdefault(name, sample)
    if other.split != sample.split:
        files: dict[str, str] = {other.path: other.split, sample.path: sample.split}
        if other.path == sample.path:
            files[sample.path] = f"{other.split} and {sample.split}"
        raise LeakError(f"{what} {name}", files)
