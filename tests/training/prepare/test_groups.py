"""Files as the journal tells of them, in; groups and splits, out. Nothing is decoded here."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.prepare.groups import Crossing, Groups, form_groups
from training.prepare.journal import Inspection, ListedFile
from training.prepare.links import read_links
from training.sample import SPLITS, WHOLE, Split

Entry = tuple[ListedFile, Inspection]


def entry(
    *identities: str, splits: tuple[Split, ...] = SPLITS, content: str = "", fingerprint: bytes | None = None
) -> Entry:
    """A file; equal `content` means equal bytes, no content bytes of its own."""
    name = f"{identities}{splits}{content}{fingerprint!r}"
    file = ListedFile(name, "", name, "image", 0, identities, splits, "none", "", WHOLE, "", 1, 1)
    digest = hashlib.sha256((content or name).encode()).hexdigest()
    return file, Inspection(name, 1, 1, "image", content_hash=digest, fingerprint=fingerprint)


def formed(*files: Entry, on_leak: str = "refuse", seed: int = 0) -> Groups:
    groups = form_groups(read_links(files, True), seed, "leave-out" if on_leak == "leave-out" else "refuse")
    assert isinstance(groups, Groups)
    return groups


def crossing(*files: Entry) -> Crossing:
    found = form_groups(read_links(files, True), 0, "refuse")
    assert isinstance(found, Crossing)
    return found


def test_shared_people_equal_bytes_and_like_content_join_through_any_chain() -> None:
    mark = bytes(range(32))
    groups = formed(
        entry("anna"),
        entry("anna", "ben"),
        entry("ben", content="same"),
        entry("carl", content="same"),
        entry("dora", content="other"),
        entry("carl", fingerprint=mark),
        entry("eve", fingerprint=mark[:-1] + b"\x1e"),
    )
    assert groups.of_file.tolist() == [groups.of_file[0]] * 4 + [groups.of_file[4]] + [groups.of_file[0]] * 2
    assert groups.of_file[4] != groups.of_file[0]
    assert {groups.names[group] for group in groups.of_file} == {"anna", "dora"}


def test_an_official_split_binds_the_whole_group() -> None:
    groups = formed(entry("anna", splits=("test",)), entry("anna", "ben"), entry("ben"))
    assert {groups.splits[group] for group in groups.of_file} == {"test"}


def test_splits_hold_for_the_seed_and_keep_their_shares() -> None:
    files = [entry(str(number)) for number in range(2000)]
    first = formed(*files)
    assert first.splits == formed(*files).splits != formed(*files, seed=1).splits
    shares = [first.splits.count(split) / 2000 for split in SPLITS]
    assert shares == pytest.approx([0.7, 0.15, 0.15], abs=0.04)


def test_no_file_for_training_and_validation_goes_to_test() -> None:
    groups = formed(*(entry(str(number), splits=("train", "val")) for number in range(200)))
    assert set(groups.splits) == {"train", "val"}


@pytest.mark.parametrize(
    ("files", "shared"),
    [
        ([entry("anna", splits=("train",)), entry("anna", splits=("test",))], ["identity anna"]),
        (
            [entry("anna", splits=("train", "val")), entry("ben"), entry("anna", splits=("test",))],
            ["identity anna"],
        ),
        (
            [entry("anna", splits=("val",)), entry("anna", "ben"), entry("ben", splits=("test",))],
            ["identity anna", "identity ben"],
        ),
        (
            [entry("anna", splits=("val",), content="x"), entry("ben", splits=("test",), content="x")],
            ["content, the same or nearly so,"],
        ),
    ],
)
def test_an_identity_or_content_in_two_official_splits_is_found(
    files: list[Entry], shared: list[str]
) -> None:
    found = crossing(*files)
    assert sorted(found.shared) == shared
    assert {0, len(files) - 1} <= set(found.files)


def test_leaving_out_keeps_the_held_out_files() -> None:
    groups = formed(
        entry("anna", splits=("train", "val")),
        entry("anna", splits=("test",)),
        entry("ben", splits=("train", "val")),
        entry("ben", "anna", splits=("train", "val")),
        on_leak="leave-out",
    )
    assert groups.leaking.tolist() == [True, False, False, True]
    assert groups.splits[groups.of_file[1]] == "test"
    assert groups.splits[groups.of_file[2]] in ("train", "val")


@pytest.mark.parametrize(
    ("splits", "kept"),
    [(("train", "val"), "val"), (("val", "test", "train"), "test"), (("test", "val"), "test")],
)
def test_of_splits_that_share_a_person_the_scarcer_keeps_its_files(
    splits: tuple[Split, ...], kept: Split
) -> None:
    groups = formed(*(entry("anna", splits=(split,)) for split in splits), on_leak="leave-out")
    assert groups.leaking.tolist() == [split != kept for split in splits]


_FILES = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True),
        st.sampled_from([SPLITS, ("train", "val"), ("train",), ("val",), ("test",)]),
    ),
    min_size=1,
    max_size=20,
)


@given(_FILES, st.integers(0, 5))
def test_whatever_the_data_no_identity_crosses_what_is_kept(
    files: list[tuple[list[str], tuple[Split, ...]]], seed: int
) -> None:
    entries = [entry(*names, splits=splits) for names, splits in files]
    groups = formed(*entries, on_leak="leave-out", seed=seed)
    kept = [number for number in range(len(files)) if not groups.leaking[number]]
    chosen = [groups.splits[group] for group in groups.of_file]
    for one, other in combinations(kept, 2):
        if set(files[one][0]) & set(files[other][0]):
            assert chosen[one] == chosen[other]
    assert all(chosen[number] in files[number][1] for number in kept)
    refused = form_groups(read_links(entries, True), seed, "refuse")
    if isinstance(refused, Crossing):
        allowed = [set(files[number][1]) for number in refused.files]
        assert not allowed[0] & allowed[-1]
    else:
        assert not refused.leaking.any()
        assert np.array_equal(refused.of_file, np.unique(refused.of_file, return_inverse=True)[1])
