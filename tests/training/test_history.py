import csv
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from PIL import Image

from training.history import HistoryLog, plot_history

HISTORY = {"loss": [0.7, 0.5], "auc": [0.6, 0.8], "val_loss": [0.7, 0.6], "val_auc": [0.5, 0.7]}


def test_epochs_are_in_the_csv_on_the_board_and_in_the_plot(tmp_path: Path) -> None:
    log = HistoryLog(tmp_path, "image")
    for epochs in (1, 2):
        log.write({name: values[:epochs] for name, values in HISTORY.items()})
    with (tmp_path / "training_logs" / "image.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["epoch"], line["val_auc"]) for line in lines] == [("1", "0.5"), ("2", "0.7")]
    (events,) = (tmp_path / "training_logs" / "image").iterdir()
    found = {
        (value.tag, event.step)
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    assert found == {(name, step) for name in HISTORY for step in (1, 2)}
    with Image.open(tmp_path / "training_plots" / "image.png") as image:
        assert image.width > image.height > 100


def test_the_curves_are_called_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[Any, ...]] = []

    def saved(figure: Figure, _: Path) -> None:
        drawn.extend(
            (axes.get_ylabel(), line.get_label(), line.get_ydata())
            for axes in figure.axes
            for line in axes.lines
        )

    monkeypatch.setattr(Figure, "savefig", saved)
    plot_history(tmp_path / "plot.png", HISTORY)
    assert [(measure, label, list(values)) for measure, label, values in drawn] == [
        ("loss", "training", HISTORY["loss"]),
        ("loss", "validation", HISTORY["val_loss"]),
        ("auc", "training", HISTORY["auc"]),
        ("auc", "validation", HISTORY["val_auc"]),
    ]


@pytest.mark.parametrize("anew", [False, True])
def test_the_board_goes_on_unless_training_began_anew(tmp_path: Path, anew: bool) -> None:
    HistoryLog(tmp_path, "image").write(HISTORY)
    HistoryLog(tmp_path, "image", anew).write({name: values[:1] for name, values in HISTORY.items()})
    steps = {
        event.step
        for events in (tmp_path / "training_logs" / "image").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(events))
        if event.summary.value
    }
    assert steps == ({1} if anew else {1, 2})


def test_a_board_that_cannot_be_written_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "training_logs").mkdir()
    (tmp_path / "training_logs" / "image").touch()
    with pytest.raises(OSError, match="TensorBoard"):
        HistoryLog(tmp_path, "image").write(HISTORY)
