"""The page from judgements to HTML, with a judge that is a table."""

import base64
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media import encode_picture, encode_video, photo, speech, speech_wav, video_mp4
from training.__main__ import main
from training.errors import DataError
from training.evaluation.judge import Activation, Task
from training.evaluation.judged import JudgedFile, write_judged
from training.evaluation.metrics import Estimate
from training.evaluation.results import Robust
from training.evaluation.run import results_of_predictions
from training.report.mistakes import worst_mistakes
from training.report.page import write_report

PLOTS = ("ROC", "Precision and recall", "Reliability", "Scores", "Verdicts", "Coverage and error")


class _Seer:
    """Sees a forgery in the lower right quarter of everything."""

    name, real_threshold, fake_threshold, local = "seer", 0.35, 0.65, True

    def judge(self, tasks: Iterable[Task]) -> Iterator[JudgedFile]:
        return (task.truth for task in tasks)

    def activations(self, content: bytes) -> list[Activation]:
        corner = np.zeros((4, 4), np.float32)
        corner[2:, 2:] = 1
        return [Activation((0, 0, 1, 1), 0.0, 0.9, corner)]


@pytest.fixture
def judged(tmp_path: Path) -> list[JudgedFile]:
    """Files of each kind, the first of each judged worst."""
    content = {
        "image": encode_picture(photo(64, 48), "PNG"),
        "video": video_mp4(0.4, width=160, height=120, sound=False),
        "audio": speech_wav(0.5),
    }
    found = []
    for kind, data in content.items():
        for number, (label, probability) in enumerate([(0, 0.97), (1, 0.1), (0, 0.2), (1, 0.9)]):
            path = tmp_path / f"{kind}-{number}<b>"
            path.write_bytes(data)
            found.append(
                JudgedFile(
                    path=str(path),
                    label=1 if label else 0,
                    kind=kind,
                    group=str(number),
                    dataset=("ours", "theirs")[number // 2],
                    manipulation="blend" if label else "none",
                    verdict="FAKE" if probability > 0.5 else "REAL",
                    fake_probability=probability,
                    audio_probability=probability if kind == "audio" else None,
                )
            )
    return found


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[Image.Image] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = dict(attrs).get("src") or dict(attrs).get("href")
        if source is None:
            return
        prefix = "data:image/png;base64,"
        if source.startswith(prefix):
            self.images.append(Image.open(BytesIO(base64.b64decode(source.removeprefix(prefix)))))
        else:
            self.links.append(source)


def test_the_page_holds_every_plot_and_needs_nothing_beside_it(
    judged: list[JudgedFile], tmp_path: Path
) -> None:
    failed = JudgedFile(path="broken.jpg", label=0, kind="image", error="CORRUPT_MEDIA: no")
    results = results_of_predictions([*judged, failed], tmp_path / "p.csv", (0.35, 0.65), None)
    matrix = [
        Robust(
            media="image",
            perturbation=name,
            level=level,
            setting=f"q{level}",
            files=4,
            metrics={"auc": Estimate(0.9 - level / 10)},
        )
        for name, level in (("none", 0), ("JPEG", 1), ("JPEG", 2))
    ]
    write_report(
        tmp_path / "r" / "page.html",
        "Ours",
        results.model_copy(update={"robustness": matrix}),
        judged,
        _Seer(),
    )
    text = (tmp_path / "r" / "page.html").read_text()
    page = _Page(text)
    assert page.links == []
    for caption in PLOTS:
        assert text.count(f"<figcaption>{caption}</figcaption>") == 3
    # Of three kinds: six plots and slices by data set and manipulation; one robustness plot; of two
    # mistakes each a picture, and of photos and videos an overlay.
    assert len(page.images) == 3 * (6 + 2) + 1 + 3 * 2 + 2 * 2
    assert "broken.jpg" in text
    assert "&lt;b&gt;" in text
    assert not re.search(r"image-0<b>", text)


def test_the_worst_errors_come_first_with_what_was_seen_in_them(judged: list[JudgedFile]) -> None:
    photos = [file for file in judged if file.kind == "image"]
    missed, accused = worst_mistakes(photos, _Seer())
    assert (missed.file, accused.file) == (photos[1], photos[0])
    assert accused.picture is not None
    assert accused.overlay is not None
    plain, heated = (
        np.asarray(Image.open(BytesIO(png)), float) for png in (accused.picture, accused.overlay)
    )
    assert plain.shape[1] / plain.shape[0] == pytest.approx(64 / 48, rel=0.02)
    height, width = plain.shape[:2]
    # Where nothing was seen it is darkened, where something was it glows.
    assert heated[: height // 3, : width // 3].mean() < plain[: height // 3, : width // 3].mean()
    difference = (heated - 0.55 * plain)[height * 5 // 6 :, width * 5 // 6 :]
    assert difference.mean() > 60


def test_what_a_crop_showed_is_laid_over_where_it_was_cut(
    judged: list[JudgedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    glowing = Activation((0.5, 0, 1, 0.5), 0.0, 0.9, np.ones((4, 4), np.float32))
    monkeypatch.setattr(_Seer, "activations", lambda seer, content: [glowing, glowing])
    accused = worst_mistakes([judged[0]], _Seer())[0]
    assert accused.picture is not None
    assert accused.overlay is not None
    plain, heated = (
        np.asarray(Image.open(BytesIO(png)), float) for png in (accused.picture, accused.overlay)
    )
    difference = (heated - 0.55 * plain).mean(axis=2)
    middle, centre = (size // 2 for size in difference.shape)
    assert difference[: middle - 4, centre + 4 :].min() > 60
    for dark in (difference[:, : centre - 4], difference[middle + 4 :]):
        assert dark.max() < 10


def test_where_two_crops_overlap_their_mean_is_shown(
    judged: list[JudgedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = Activation((0, 0, 1, 1), 0.0, 0.9, np.full((4, 4), 0.4, np.float32))
    overlays = []
    for seen in ([warm], [warm, warm]):
        monkeypatch.setattr(_Seer, "activations", lambda seer, content, seen=seen: seen)
        overlays.append(worst_mistakes([judged[0]], _Seer())[0].overlay)
    assert overlays[0] == overlays[1]


@pytest.mark.parametrize(("moment", "bright"), [(0.1, False), (0.7, True)])
def test_of_a_video_the_frame_that_misled_most_is_shown(
    judged: list[JudgedFile], monkeypatch: pytest.MonkeyPatch, moment: float, bright: bool
) -> None:
    accused = next(file for file in judged if file.kind == "video")
    grey = np.random.default_rng(0).integers(40, 60, (96, 128, 3), np.uint8)
    Path(accused.path).write_bytes(encode_video([grey] * 10 + [grey + np.uint8(150)] * 10))
    seen = [
        Activation((0, 0, 1, 1), start, 0.9 if start == moment else 0.6, np.ones((4, 4), np.float32))
        for start in (0.1, 0.7)
    ]
    monkeypatch.setattr(_Seer, "activations", lambda seer, content: seen)
    (mistake,) = worst_mistakes([accused], _Seer())
    assert mistake.picture is not None
    assert (np.asarray(Image.open(BytesIO(mistake.picture))).mean() > 128) == bright


def test_files_that_are_gone_are_listed_without_a_picture(judged: list[JudgedFile]) -> None:
    gone = [file.answered(path="/nowhere/" + file.path) for file in judged if file.kind == "audio"]
    assert [(mistake.picture, mistake.overlay) for mistake in worst_mistakes(gone, _Seer())] == [
        (None, None)
    ] * 2


def test_a_video_that_was_judged_by_its_sound_alone_is_listed_without_a_picture(
    judged: list[JudgedFile],
) -> None:
    accused = next(file for file in judged if file.kind == "video")
    black = [np.zeros((96, 128, 3), np.uint8)] * 10
    Path(accused.path).write_bytes(encode_video(black, sound=speech(0.4, 44_100)))
    (mistake,) = worst_mistakes([accused], None)
    assert (mistake.file, mistake.picture) == (accused, None)


def test_the_report_command_makes_a_page_of_any_table(judged: list[JudgedFile], tmp_path: Path) -> None:
    write_judged(tmp_path / "mine.csv", judged)
    command = ["report", str(tmp_path / "mine.csv"), "--report-dir", str(tmp_path / "reports")]
    assert main(command) == 0
    assert len(_Page((tmp_path / "reports" / "mine.html").read_text()).images) >= 18


def test_files_of_one_class_alone_still_make_a_page(judged: list[JudgedFile], tmp_path: Path) -> None:
    write_judged(tmp_path / "fakes.jsonl", [file for file in judged if file.label])
    assert main(["report", str(tmp_path / "fakes.jsonl"), "--report-dir", str(tmp_path)]) == 0
    assert "<figcaption>Scores</figcaption>" in (tmp_path / "fakes.html").read_text()


def test_an_empty_table_ends_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.csv").write_text("path,label,fake_probability\n")
    assert main(["report", str(tmp_path / "none.csv")]) == 1
    assert "none of the files could be judged" in capsys.readouterr().out


def test_verdicts_are_those_of_the_thresholds_that_are_asked_for(tmp_path: Path) -> None:
    files = [
        JudgedFile(path=f"{p}", label=int(p > 0.5), kind="image", verdict="FAKE", fake_probability=p)
        for p in (0.2, 0.3, 0.7, 0.8)
    ]
    found, *_ = results_of_predictions(files, tmp_path / "p.csv", (0.2, 0.8), None).operations
    assert found.band.verdicts == {
        "real": {"REAL": 1, "INCONCLUSIVE": 1},
        "fake": {"INCONCLUSIVE": 1, "FAKE": 1},
    }
    with pytest.raises(DataError, match="above that for FAKE"):
        results_of_predictions(files, tmp_path / "p.csv", (0.8, 0.2), None)
