"""The distributions of a data folder as prepare.png, and with the counts as one HTML page."""

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.html import render_page
from training.prepare.summary import Summary, bin_start
from training.sample import SPLITS

PNG = "prepare.png"
PAGE = "prepare.html"

_COLOURS = {"real": "#3b7dd8", "fake": "#d8603b"}
_BARS_SHOWN = 20


def write_page(summary: Summary, folder: Path) -> None:
    """Writes both; the page holds its picture, so that it can be sent on alone."""
    picture = io.BytesIO()
    _draw(summary).savefig(picture, format="png", dpi=110)
    (folder / PNG).write_bytes(picture.getvalue())
    page = render_page(
        "training.prepare",
        summary=summary,
        balance=summary.balance(),
        sources=[(*key, count) for key, count in sorted(summary.sources.items())],
        picture=picture.getvalue(),
    )
    (folder / PAGE).write_text(page, encoding="utf-8")


def _draw(summary: Summary) -> Figure:
    modalities = summary.modalities
    figure = Figure(figsize=(13, 3.4 * len(modalities)), layout="constrained")
    axes = figure.subplots(len(modalities), 3, squeeze=False)
    for (balance, manipulations, durations), modality in zip(axes, modalities, strict=True):
        _draw_balance(balance, summary, modality)
        _draw_manipulations(manipulations, summary, modality)
        _draw_durations(durations, summary, modality)
    return figure


def _draw_balance(axes: Axes, summary: Summary, modality: str) -> None:
    for label, (name, colour) in enumerate(_COLOURS.items()):
        counts = [summary.files[modality, split, label] for split in SPLITS]
        places = [place + 0.4 * (label - 0.5) for place in range(len(SPLITS))]
        axes.bar_label(axes.bar(places, counts, 0.4, label=name, color=colour))
    axes.set_xticks(range(len(SPLITS)), SPLITS)
    axes.set(title=f"{modality}: files per split", ylabel="files")
    axes.margins(y=0.15)
    axes.legend()


def _draw_manipulations(axes: Axes, summary: Summary, modality: str) -> None:
    counts = {name: n for (of, name), n in summary.manipulations.items() if of == modality}
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_BARS_SHOWN]
    names = [name for name, _ in shown]
    colours = [_COLOURS["real" if name == "none" else "fake"] for name in names]
    axes.barh(range(len(shown)), [count for _, count in shown], color=colours)
    axes.set_yticks(range(len(shown)), names)
    axes.invert_yaxis()
    axes.set(title=f"{modality}: files per manipulation", xlabel="files")


def _draw_durations(axes: Axes, summary: Summary, modality: str) -> None:
    bins = {number: n for (of, number), n in summary.durations.items() if of == modality}
    if not bins:
        axes.set_axis_off()
        return
    shown = range(min(bins), max(bins) + 1)
    axes.bar(
        shown, [bins.get(number, 0) for number in shown], 1, align="edge", color="#777777", edgecolor="w"
    )
    edges = range(min(bins), max(bins) + 2)
    axes.set_xticks(edges, [f"{bin_start(number):.2g}" for number in edges], rotation=90)
    axes.set(title=f"{modality}: durations", xlabel="seconds", ylabel="files")
