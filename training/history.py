"""How a training went, epoch by epoch: CSV, TensorBoard and a plot."""

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf
from matplotlib.figure import Figure

History = Mapping[str, Sequence[float]]
_PLOTTED = ("loss", "auc")


class HistoryLog:
    """Writes `training_logs/{name}.csv`, `training_logs/{name}/` for TensorBoard and a plot.

    The plot is `training_plots/{name}.png`.

    Args:
        folder: of the models.
        name: of the model: its modality.
        anew: forget what TensorBoard shows of a run before.
    """

    def __init__(self, folder: Path, name: str, anew: bool = False) -> None:
        self._table = folder / "training_logs" / f"{name}.csv"
        self._plot = folder / "training_plots" / f"{name}.png"
        for path in (self._table, self._plot):
            path.parent.mkdir(parents=True, exist_ok=True)
        if anew:
            shutil.rmtree(self._table.with_suffix(""), ignore_errors=True)
        with _system_errors():
            self._board = tf.summary.create_file_writer(str(self._table.with_suffix("")))

    def write(self, history: History) -> None:
        """Called after every epoch with all epochs so far."""
        epochs = len(next(iter(history.values())))
        with self._table.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", *history])
            writer.writerows(
                [number + 1, *(values[number] for values in history.values())] for number in range(epochs)
            )
        with _system_errors(), self._board.as_default():
            for name, values in history.items():
                tf.summary.scalar(name, values[-1], epochs)
            self._board.flush()
        plot_history(self._plot, history)


@contextmanager
def _system_errors() -> Iterator[None]:
    """TensorFlow has errors of its own for files, such as of a full disk."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(
            f"the log for TensorBoard cannot be written: {error.message.splitlines()[0]}"
        ) from error


def plot_history(path: Path, history: History) -> None:
    """Loss and AUC of training and validation against epochs, as a PNG."""
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(_PLOTTED)), _PLOTTED, strict=True):
        for prefix, label in (("", "training"), ("val_", "validation")):
            values = history[prefix + name]
            axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.legend(frameon=False)
    figure.savefig(path)
