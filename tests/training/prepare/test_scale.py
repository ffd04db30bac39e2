"""What comes after decoding, on a journal of many files that need not exist."""

import tracemalloc
from pathlib import Path

from benchmarks.training.listing import FILES_PER_SOURCE, inspection, listed
from training.files import find_samples
from training.prepare.groups import Groups, form_groups
from training.prepare.journal import Inspection, Journal
from training.prepare.links import read_links
from training.prepare.lists import write_lists
from training.sample import SPLITS

COUNT = 5_000
BYTES_PER_FILE = 1000


def test_many_files_are_listed_grouped_and_written_in_bounded_memory(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    tracemalloc.start()
    journal.replace_list(map(listed, range(COUNT)))
    assert journal.pending_count() == COUNT
    journal.record(map(inspection, map(listed, range(COUNT // 2))))
    # As after a kill: what is known is not asked for again, and only what changed is.
    assert sum(1 for _ in journal.pending()) == COUNT - COUNT // 2
    journal.record(map(inspection, journal.pending()))
    journal.record([Inspection("/media/01/clip0000001.mp4", 1, 1, "video")])
    assert [file.name for file in journal.pending()] == ["01/clip0000001.mp4"]
    journal.record([inspection(listed(1))])
    links = read_links(journal.usable(), official_splits=True)
    groups = form_groups(links, seed=0, on_leak="refuse")
    assert isinstance(groups, Groups)
    summary = write_lists(journal, links, groups, tmp_path, "reference")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    journal.close()
    assert peak < BYTES_PER_FILE * COUNT
    assert summary.files.total() == COUNT
    samples = find_samples(tmp_path)
    assert len(samples) == COUNT
    assert len({sample.group for sample in samples}) == COUNT // FILES_PER_SOURCE
    assert {sample.split for sample in samples} == set(SPLITS)
