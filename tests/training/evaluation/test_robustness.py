from collections.abc import Iterable, Iterator

from rich.console import Console

from tests.media import speech_wav, video_mp4
from training.evaluation.judge import Activation, Task
from training.evaluation.judged import JudgedFile
from training.evaluation.robustness import measure_robustness


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
