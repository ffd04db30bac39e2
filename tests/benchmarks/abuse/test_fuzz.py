"""The fuzzers for a moment: mutants differ, the server withstands them, and what is wrong is told."""

import subprocess
import sys

import pytest

from benchmarks.abuse.fuzz import Fuzzed, fuzz
from benchmarks.abuse.mutations import mutations
from benchmarks.abuse.seeds import seeds
from server.media.decode import decode
from server.media.limits import MediaLimits
from server.media.types import RowSpec


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    return seeds()


def test_the_seeds_are_whole_files_of_many_formats(whole: dict[str, bytes]) -> None:
    assert len(whole) >= 20
    kinds = {decode(content, RowSpec(), MediaLimits()).facts.kind for content in whole.values()}
    assert len(kinds) == 3


def test_the_seeds_are_the_same_every_time(whole: dict[str, bytes]) -> None:
    assert seeds() == whole


def test_mutants_depend_on_the_seed_alone(whole: dict[str, bytes]) -> None:
    mutants = dict(mutations(whole, 200, seed=3))
    assert mutants == dict(mutations(whole, 200, seed=3))
    assert mutants != dict(mutations(whole, 200, seed=4))
    changed = [content != whole[name.split()[0]] for name, content in mutants.items()]
    assert sum(changed) > 190


def test_the_server_withstands_mutants() -> None:
    fuzzed = fuzz(120, seed=1, report=lambda _: None)
    assert fuzzed.codes.total() == 120
    assert {"OK", "CORRUPT_MEDIA"} <= set(fuzzed.codes)
    assert fuzzed.problems == []


def test_other_errors_than_those_of_media_are_problems() -> None:
    fuzzed = Fuzzed()
    for code in ("OK", "CORRUPT_MEDIA", "DECODE_TIMEOUT", "ENGINE_FAILED"):
        fuzzed.note("mp4 1", code, 0.5)
    assert fuzzed.problems == ["ENGINE_FAILED mp4 1"]
    assert fuzzed.remarkable == ["DECODE_TIMEOUT mp4 1"]


def test_the_headers_reader_is_fuzzed_by_coverage() -> None:
    pytest.importorskip("atheris", reason="has wheels for Linux only")
    command = [sys.executable, "-m", "benchmarks.fuzz_probe", "-runs=5000", "-seed=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Done 5000 runs" in done.stderr
