"""What is drawn where, asked of the figures themselves as they are saved."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from tests.media import speech_wav
from training.evaluation.judged import JudgedFile
from training.evaluation.measure import Measured
from training.evaluation.metrics import Estimate
from training.evaluation.results import Results, Robust
from training.evaluation.run import results_of_predictions
from training.report import plots
from training.report.mistakes import worst_mistakes
from training.report.page import write_report

SCORES = [(0, 0.1), (1, 0.4), (0, 0.6), (1, 0.9)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of every plot, in the order in which they were saved."""
    found: list[Any] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **options: Any) -> None:
        found.append(figure.axes[0])
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def judged(scores: Sequence[tuple[int, float]] = SCORES, kind: str = "image") -> list[JudgedFile]:
    """Files by label and probability, judged by one model alone."""
    return [
        JudgedFile(
            path=f"{number}.{kind}",
            label=1 if label else 0,
            kind=kind,
            verdict="FAKE" if probability > 0.5 else "REAL",
            fake_probability=probability,
            **{f"{kind}_probability": probability},
        )
        for number, (label, probability) in enumerate(scores)
    ]


def results(files: list[JudgedFile]) -> Results:
    return results_of_predictions(files, Path("p.csv"), (0.35, 0.65), None)


def test_the_curves_of_a_lone_model_are_drawn_once(drawn: list[Any]) -> None:
    plots.roc(judged(), results(judged()).operations[0])
    plots.precision_recall(judged())
    roc, precision_recall = drawn
    chance, curve = roc.get_lines()
    np.testing.assert_allclose(chance.get_xydata(), [[0, 0], [1, 1]])
    assert curve.get_label() == "fused, AUC 0.750"
    np.testing.assert_allclose(curve.get_xdata(), [0, 0, 0.5, 0.5, 1])
    np.testing.assert_allclose(curve.get_ydata(), [0, 0.5, 0.5, 1, 1])
    (curve,) = precision_recall.get_lines()
    np.testing.assert_allclose(curve.get_xdata(), [0, 0.5, 0.5, 1, 1])
    np.testing.assert_allclose(curve.get_ydata(), [1, 1, 1 / 2, 2 / 3, 1 / 2])


def test_a_certain_answer_is_in_the_last_bin(drawn: list[Any]) -> None:
    plots.reliability(judged([(0, 0.04), (1, 0.08), (0, 0.06), (1, 0.92), (1, 1.0)]))
    _, curve = drawn[0].get_lines()
    np.testing.assert_allclose(curve.get_xydata(), [[0.06, 1 / 3], [0.96, 1]])


def test_a_page_shows_the_scores_of_each_kind_with_the_thresholds(drawn: list[Any], tmp_path: Path) -> None:
    files = judged([(0, 0.1), (0, 0.3), (1, 0.9)]) + judged([(0, 0.2), (1, 0.8)], "audio")
    write_report(tmp_path / "page.html", "Ours", results(files), files)
    histograms = [axes for axes in drawn if axes.get_ylabel() == "files"]
    for axes, expected in zip(histograms, ([0.2], [0.1, 0.3]), strict=True):
        real, fake = axes.containers
        for bars, colour in ((real, plots.REAL), (fake, plots.FAKE)):
            assert same_color(bars[0].get_facecolor()[:3], colour)
        filled = [bar.get_x() + bar.get_width() / 2 for bar in real if bar.get_height()]
        assert filled == pytest.approx(expected, abs=1 / 30)
        assert sum(bar.get_height() for bar in fake) == 1
        assert [line.get_xdata()[0] for line in axes.get_lines()] == [0.35, 0.65]


def test_verdicts_are_shaded_by_their_share_of_each_truth(drawn: list[Any]) -> None:
    plots.confusion({"real": {"REAL": 3, "FAKE": 1}, "fake": {"FAKE": 2, "FAILED": 2}})
    (image,) = drawn[0].images
    np.testing.assert_allclose(image.get_array(), [[0.75, 0, 0.25, 0], [0, 0, 0.5, 0.5]])
    assert drawn[0].texts[0].get_text() == "3\n75%"


def test_slices_go_from_top_to_bottom_and_miss_those_without_an_area(drawn: list[Any]) -> None:
    areas = {"ours": Estimate(0.9, 0.8, 0.95), "none": Estimate(None), "theirs": Estimate(0.6)}
    plots.slices(
        {
            name: Measured(files=4, fakes=2, rows=0, by_file={"auc": area}, by_row={})
            for name, area in areas.items()
        }
    )
    (axes,) = drawn
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ours", "theirs"]
    assert axes.get_yticks().tolist() == [1, 0]
    assert [dot.get_offsets().tolist() for dot in axes.collections] == [[[0.9, 1]], [[0.6, 0]]]
    np.testing.assert_allclose(axes.get_lines()[0].get_xydata(), [[0.8, 1], [0.95, 1]])


def test_every_perturbation_starts_from_files_that_were_only_encoded_again(drawn: list[Any]) -> None:
    plots.robustness(
        Robust(
            media="image",
            perturbation=name,
            level=level,
            setting="",
            files=4,
            metrics={"auc": Estimate(area)},
        )
        for name, level, area in [("none", 0, 0.9), ("JPEG", 1, 0.8), ("JPEG", 2, 0.7), ("blur", 1, 0.6)]
    )
    _, jpeg, blur = drawn[0].get_lines()
    np.testing.assert_allclose(jpeg.get_xydata(), [[0, 0.9], [1, 0.8], [2, 0.7]])
    np.testing.assert_allclose(blur.get_xydata(), [[0, 0.9], [1, 0.6]])


def test_a_spectrogram_ends_with_the_sound_and_has_its_low_bands_below(
    drawn: list[Any], tmp_path: Path
) -> None:
    (tmp_path / "a.wav").write_bytes(speech_wav(0.5))
    (wrong,) = judged([(0, 0.9)], "audio")
    worst_mistakes([wrong.answered(path=str(tmp_path / "a.wav"))], None)
    (image,) = drawn[0].images
    assert image.origin == "lower"
    assert image.get_extent()[1] == pytest.approx(0.5, abs=0.01)
    # librosa has a frame every 512 samples, and one more.
    assert image.get_array().shape == (80, 16)


def test_the_worst_come_first_and_a_half_counts_as_fake() -> None:
    scores = [(1, 0.4 - number / 100) for number in range(8)] + [(1, 0.5), (0, 0.5), (0, 0.8)]
    found = [
        (mistake.file.label, mistake.file.fake_probability)
        for mistake in worst_mistakes(judged(scores), None)
    ]
    assert found == [(1, 0.4 - number / 100) for number in range(7, 1, -1)] + [(0, 0.8), (0, 0.5)]
