"""The load test, in a process of its own: gevent changes the one that it is in."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.clients.fake_detector import FakeDetector, fake_server

# Not importorskip: importing locust patches the sockets and threads of all other tests.
pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="needs the extra bench")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.mp4", "c.wav"):
        (tmp_path / name).write_bytes(b"real")
    return tmp_path


def locust(fake: FakeDetector, folder: Path, *arguments: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Exit status, figures by kind of medium, and what it printed."""
    command = [sys.executable, "-m", "locust", "-f", "benchmarks/load.py", "--host", fake.address]
    command += ["--headless", "--users", "2", "--run-time", "2s", "--json", "--media-folder", str(folder)]
    done = subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, timeout=100)
    figures = {entry["name"]: entry for entry in json.loads(done.stdout)}
    return done.returncode, figures, done.stderr


def test_every_kind_is_sent_and_counted_by_itself(folder: Path) -> None:
    with fake_server() as fake:
        status, figures, _ = locust(fake, folder, "--video-share", "8")
    assert status == 0
    assert set(figures) == {"image", "video", "audio"}
    assert all(entry["num_requests"] > 0 and entry["num_failures"] == 0 for entry in figures.values())


def test_what_is_not_answered_before_the_end_does_not_count(folder: Path) -> None:
    with fake_server() as fake:
        fake.go_on.clear()
        _, figures, _ = locust(fake, folder)
        assert len(fake.calls) == 2
    assert figures == {}


def test_failures_are_counted_with_their_code_and_a_share_of_none_is_none(folder: Path) -> None:
    (folder / "b.mp4").write_bytes(b"broken")
    with fake_server() as fake:
        status, figures, printed = locust(fake, folder, "--video-share", "8", "--audio-share", "0")
    assert status == 1
    assert set(figures) == {"image", "video"}
    assert figures["video"]["num_failures"] == figures["video"]["num_requests"] > 0
    assert figures["image"]["num_failures"] == 0
    assert "CORRUPT_MEDIA" in printed
