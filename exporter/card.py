"""MODEL_CARD.md: what people should know before they believe the detector (Mitchell et al., 2019)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from exporter.parity import HEATMAP_FACTOR, TOLERANCE
from server.engine.manifest import Branch, Manifest, Trade

_WARNING = """\
This detector gives a probability, not proof. It was measured on the data below and on nothing else:
on other cameras, codecs, languages and, above all, on ways of forging that it was not trained on, its
error rates are unknown, and likely to be higher. It is no forensic instrument: do not accuse anyone on
its word alone."""

_LIMITS = """\
- A verdict needs the medium itself; strong re-compression, small pictures and short sound hide the traces.
- Editing that is no forgery (filters, beautification, noise suppression) can look like one.
- Probabilities are calibrated on the validation data. Where fakes are rarer or of other kinds than
  there, they are not frequencies.
- The verdict is INCONCLUSIVE between the thresholds. Set them for your own costs of both errors."""


class Written(NamedTuple):
    """A graph as it was written: what it says of itself, and the bytes of its file."""

    manifest: Manifest
    size: int


def model_card(fp32: Written, *others: Written) -> str:
    """The card as Markdown.

    Args:
        fp32: the graph in float32, whose manifest has parity and training records.
        others: the graphs in other precisions.
    """
    manifest = fp32.manifest
    sections = [
        f"# {manifest.name}, version {manifest.version}",
        f"Deepfake detector for {', '.join(manifest.modalities)}: one ONNX graph, written "
        f"{manifest.created:%Y-%m-%d} ({_size(fp32)}).",
        _WARNING,
        "## Input\n\n" + _table(("", ""), _input_rows(manifest)),
        "## Decision\n\n" + _decision(manifest),
        "## Calibration and aggregation\n\nA row's probability is sigmoid(logit / temperature + bias); "
        "a file's is the same of its rows' aggregated logit.\n\n" + _calibration(manifest),
        *(_training(modality, record) for modality, record in manifest.training.items()),
        f"## Agreement with Keras\n\nLargest absolute difference in probability between this graph in "
        f"ONNX Runtime (default settings, CPU) and the Keras models; at most {TOLERANCE:.0e} is allowed, and "
        f"{HEATMAP_FACTOR * TOLERANCE:.0e} in cells of the heatmap.\n\n" + _parity(manifest),
        *_precisions(others),
        f"## Limits\n\n{_LIMITS}",
    ]
    return "\n\n".join(sections) + "\n"


def _input_rows(manifest: Manifest) -> list[tuple[str, str]]:
    rows = []
    if manifest.image or manifest.video:
        rows.append(("frames", f"{manifest.width} x {manifest.height} RGB"))
    if manifest.image:
        heatmap = f"{manifest.image.heatmap_width} x {manifest.image.heatmap_height}"
        rows.append(("frames of a video", str(manifest.image.frames_per_video)))
        rows.append(("crops of a photo", str(manifest.image.crops)))
        rows.append(("heatmap", f"{heatmap} cells"))
    if manifest.video:
        video = manifest.video
        clips = (
            f"{video.clips_per_video} of {video.clip_length} frames, {video.clip_stride_seconds:g} s apart"
        )
        rows.append(("clips", clips))
    if manifest.audio:
        audio = manifest.audio
        seconds = audio.window_samples / audio.sample_rate
        rows.append(
            ("sound", f"mono, {audio.sample_rate} Hz, up to {audio.max_windows} windows of {seconds:g} s")
        )
    return [*rows, ("row spec", f"`{manifest.spec_hash}`")]


def _decision(manifest: Manifest) -> str:
    weights = manifest.fusion_weights
    shares = ", ".join(f"{modality} {getattr(weights, modality):g}" for modality in manifest.modalities)
    return (
        f"The probabilities of the modalities present are averaged with the weights {shares}. At or below "
        f"{manifest.thresholds.real:g} the verdict is REAL, at or above {manifest.thresholds.fake:g} FAKE, "
        "between them INCONCLUSIVE. Requests may state their own weights and threshold."
    )


def _calibration(manifest: Manifest) -> str:
    rows = []
    for modality in manifest.modalities:
        branch: Branch = getattr(manifest, modality)
        rule = branch.aggregation.replace("_", " ")
        if branch.aggregation == "log_mean_exp":
            rule += f", sharpness {branch.sharpness:g}"
        rows.append((modality, f"{branch.temperature:.4g}", f"{branch.bias:.4g}", rule))
    return _table(("modality", "temperature", "bias", "aggregation"), rows)


def _training(modality: str, record: dict[str, Any]) -> str:
    """One section out of a training record, in the record's own words."""
    about = record["data"].get("about", "")
    data = {key: value for key, value in record["data"].items() if key != "about"}
    # Our trainer's settings have the seed too.
    facts = [*_flat(data), *_flat(record["settings"] | {"seed": record["seed"]})]
    facts.extend((f"package {name}", version) for name, version in record["packages"].items())
    measured = _flat(record["metrics"])
    numbers = _table(("metric", "value"), measured) if measured else "No metrics are in the record."
    parts = ["### Measured", numbers, "### Trained on and with", about, _table(("", ""), facts)]
    return "\n\n".join([f"## The {modality} model", *filter(None, parts)])


def _parity(manifest: Manifest) -> str:
    rows = [
        (modality, sample, f"{difference:.1e}")
        for modality, differences in manifest.parity.items()
        for sample, difference in differences.items()
    ]
    return _table(("modality", "rows", "difference"), rows)


def _precisions(others: Sequence[Written]) -> list[str]:
    """One section about all of them; none if there are none."""
    if not others:
        return []
    header = ("precision", "model", "files", "mean change", "largest change", "AUC, fp32", "AUC", "speed-up")
    rows, remarks = [], []
    for written in others:
        manifest = written.manifest
        if (trade := manifest.trade) is None:
            continue
        for modality, change in trade.change.items():
            areas = [
                f"{area:.4f}" if area is not None else "unknown" for area in (change.auc_before, change.auc)
            ]
            numbers = (str(change.files), f"{change.mean:.1e}", f"{change.largest:.1e}", *areas)
            rows.append((manifest.precision, modality, *numbers, f"{trade.speed_up[modality]:.2f}"))
        remarks += [f"### {_size(written)}", _remark(trade), _float_layers(trade), _parity(manifest)]
    return [
        "## Other precisions\n\nWhat changes against fp32: absolute differences in probability, file by "
        "file, the area under the ROC curve, and how many times as fast one row is on one thread of the "
        "processor that exported it.\n\n" + _table(header, rows),
        *filter(None, remarks),
    ]


def _remark(trade: Trade) -> str:
    worth = "pays" if trade.pays_on_cpu else "does not pay, or nobody knows,"
    return (
        f"Measured on {trade.measured_on}; calibrated on {trade.calibrated_on}. On the CPU it {worth} on "
        f"processors with {', '.join(trade.cpu)}. Below, the largest differences to Keras."
    )


def _float_layers(trade: Trade) -> str:
    left_out = [f"{modality}: `{name}`" for modality, names in trade.float_layers.items() for name in names]
    if not left_out:
        return ""
    return "These stayed in float32, because they changed the answers most:\n\n" + "\n".join(
        f"- {line}" for line in left_out
    )


def _size(written: Written) -> str:
    return f"{written.manifest.precision}, {written.size / 1e6:.1f} MB"


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text)."""
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(item, f"{name}.{key}" if name else key)]
    if isinstance(value, list):
        return [(name, ", ".join(f"{item:.4g}" if isinstance(item, float) else str(item) for item in value))]
    return [(name, f"{value:.4g}" if isinstance(value, float) else str(value))]


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
