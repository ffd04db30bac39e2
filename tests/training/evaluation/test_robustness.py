from collections.abc import Iterable, Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.media import encode_picture, speech_wav, video_mp4
from training.evaluation.judge import Activation, Task
from training.evaluation.judged import JudgedFile
from training.evaluation.robustness import measure_robustness
from training.perturb import table


class Listener:
    """Calls everything that it can read fake by its label."""

    name, local = "listener", True
    real_threshold = fake_threshold = 0.5

    def judge(self, tasks: Iterable[Task]) -> Iterator[JudgedFile]:
        for task in tasks:
            if isinstance(task.content, OSError):
                yield task.truth.answered(error=str(task.content))
            else:
                yield task.truth.answered(fake_probability=float(task.truth.label), verdict="FAKE")

    def activations(self, content: bytes) -> list[Activation]:
        return []


class Watcher(Listener):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Task] = []

    def judge(self, tasks: Iterable[Task]) -> Iterator[JudgedFile]:
        for task in tasks:
            self.asked.append(task)
            yield from super().judge([task])


def test_every_kind_meets_its_own_levels_from_encoding_alone_to_the_strongest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for entries in ("PICTURES", "SOUND"):
        (noise,) = (entry for entry in getattr(table, entries) if entry.name == "noise")
        monkeypatch.setattr(table, entries, (noise,))
    halves = np.full((32, 32, 3), 120, np.uint8)
    halves[16:] = 140
    photo = encode_picture(halves, "PNG")
    contents = {"a.png": photo, "b.png": photo, "a.wav": speech_wav(0.5), "b.wav": speech_wav(0.5)}
    kinds = {"png": "image", "wav": "audio"}
    files = [
        lambda path=path, content=content: Task(
            JudgedFile(path=path, label=int(path.startswith("b")), kind=kinds[path[2:]]), content
        )
        for path, content in contents.items()
    ]
    watcher = Watcher()
    results = measure_robustness(watcher, files, 1, Console(quiet=True))
    settings = {
        "audio": ["encoded again", "40 dB", "30 dB", "20 dB", "10 dB", "0 dB"],
        "image": ["encoded again", "σ 2", "σ 5", "σ 10", "σ 15", "σ 25"],
    }
    assert [(entry.media, entry.perturbation, entry.level, entry.setting) for entry in results] == [
        (media, "noise" if level else "none", level, setting)
        for media in ("audio", "image")
        for level, setting in enumerate(settings[media])
    ]
    assert {entry.files for entry in results} == {2}
    pictures = [task for task in watcher.asked if task.truth.kind == "image"]
    spread = []
    for first, second in zip(pictures[::2], pictures[1::2], strict=True):
        seen = [
            np.asarray(Image.open(BytesIO(task.content))).astype(float) - halves
            for task in (first, second)
            if isinstance(task.content, bytes)
        ]
        spread.append(float(seen[0].std()))
        # Every file is perturbed in its own way.
        assert np.array_equal(seen[0], seen[1]) == (spread[-1] == 0)
    assert spread == pytest.approx([0, 2, 5, 10, 15, 25], rel=0.1)


def test_a_file_that_cannot_be_perturbed_costs_no_other() -> None:
    # Pictures without sound, which are listed as sound.
    contents = [speech_wav(0.5), speech_wav(0.4), video_mp4(0.5, sound=False)]
    files = [
        lambda number=number, content=content: Task(
            JudgedFile(path=f"{number}.wav", label=number % 2, kind="audio"), content
        )
        for number, content in enumerate(contents)
    ]
    results = measure_robustness(Listener(), files, 1, Console(quiet=True))
    assert len(results) > 1
    assert {result.files for result in results} == {2}
