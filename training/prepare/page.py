"""The distributions of a data folder as prepare.png, and with the counts as one HTML page."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.prepare.summary import BALANCE_HEADINGS, Summary, bin_start
from training.sample import SPLITS

PNG = "prepare.png"
PAGE = "prepare.html"

_COLOURS = {"real": "#3b7dd8", "fake": "#d8603b"}
_BARS_SHOWN = 20
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .75rem; text-align: right; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
img { width: 100%; }
"""


def write_page(summary: Summary, folder: Path) -> None:
    """Writes both; the page holds its picture, so that it can be sent on alone."""
    picture = io.BytesIO()
    _draw(summary).savefig(picture, format="png", dpi=110)
    (folder / PNG).write_bytes(picture.getvalue())
    (folder / PAGE).write_text(_page(summary, picture.getvalue()), encoding="utf-8")


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
    starts = [bin_start(number) for number in bins]
    widths = [bin_start(number + 1) - bin_start(number) for number in bins]
    axes.bar(starts, list(bins.values()), widths, align="edge", color="#777777", edgecolor="white")
    axes.set_xscale("log")
    axes.set(title=f"{modality}: durations", xlabel="seconds", ylabel="files")


def _page(summary: Summary, picture: bytes) -> str:
    sources = [
        (name or "-", compression or "-", str(n)) for (name, compression), n in summary.sources.items()
    ]
    left_out = [(reason, "", str(count)) for reason, count in summary.rejected.most_common()]
    parts = [
        "<h2>Class balance</h2>",
        _table(BALANCE_HEADINGS, summary.balance()),
        "<h2>Data sets</h2>",
        _table(("data set", "compression", "files"), sources),
        "<h2>Left out</h2><p>Each with its reason in rejected.csv.</p>",
        _table(("reason", "", "files"), left_out),
        f"<p>{summary.near_duplicates} files have near duplicates of the same label, "
        f"listed in near_duplicates.csv; {summary.warned} were decoded with a warning.</p>",
        f'<img alt="distributions" src="data:image/png;base64,{base64.b64encode(picture).decode()}">',
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Prepared data</title>'
        f"<style>{_STYLE}</style><h1>Prepared data</h1>{''.join(parts)}</html>\n"
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_row("th", headings), *(_row("td", row) for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
