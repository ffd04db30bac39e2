"""What `python -m training prepare` does besides decoding, with as many files as one likes: none exists.

Also what `fit` needs to read the lists.
"""

import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report.tables import Table
from benchmarks.report.turns import Report
from training.files import find_samples
from training.prepare.groups import Crossing, form_groups
from training.prepare.journal import Inspection, Journal, ListedFile
from training.prepare.links import read_links
from training.prepare.lists import write_lists
from training.sample import SPLITS, WHOLE

FILES_PER_SOURCE = 5
_MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds that a step took, and MiB that the process has held at most until its end."""

    name: str
    seconds: float
    peak_mib: float


def listed(number: int) -> ListedFile:
    """A video that a data set might list; five in a row are of one source."""
    name = f"{number % 100:02d}/clip{number:07d}.mp4"
    identities = (f"person/{number // FILES_PER_SOURCE}",)
    return ListedFile(
        f"/media/{name}",
        "plain",
        name,
        "video",
        number % 2,
        identities,
        SPLITS,
        "swap",
        "c23",
        WHOLE,
        mask="",
        size=1000,
        mtime_ns=number,
    )


def inspection(file: ListedFile) -> Inspection:
    """What decoding it might have given."""
    digest = hashlib.sha256(file.path.encode())
    return Inspection(
        file.path,
        file.size,
        file.mtime_ns,
        file.modality,
        content_hash=digest.hexdigest(),
        fingerprint=digest.digest(),
        duration_seconds=4.0,
    )


def measure(count: int, report: Report) -> list[Step]:
    """Runs the steps; `report` is told what is being measured."""
    steps: list[Step] = []

    @contextmanager
    def step(name: str) -> Iterator[None]:
        report(name)
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MAXRSS_PER_MIB
        steps.append(Step(name, seconds, peak))

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        journal = stack.enter_context(closing(Journal(folder / "journal.sqlite")))
        with step("list the files"):
            journal.replace_list(map(listed, range(count)))
        with step("record what decoding found"):
            journal.record(map(inspection, map(listed, range(count))))
        with step("list them again, and find nothing to decode"):
            journal.replace_list(map(listed, range(count)))
            if journal.pending_count():
                raise RuntimeError("the journal has forgotten files")
        with step("find near duplicates"):
            links = read_links(journal.usable(), official_splits=True)
        with step("form groups, choose splits"):
            groups = form_groups(links, seed=0, on_leak="refuse")
            if isinstance(groups, Crossing):
                raise RuntimeError("files of one source went to different splits")
        with step("write the lists"):
            write_lists(journal, links, groups, folder, "reference")
        del links, groups
        with step("read the lists, as fit does"):
            find_samples(folder)
    return steps


def table(count: int, steps: list[Step]) -> Table:
    rows = [[step.name, f"{step.seconds:.1f}", f"{step.peak_mib:.0f}"] for step in steps]
    return Table(("", "seconds", "peak MiB so far"), rows, f"{count} files")
