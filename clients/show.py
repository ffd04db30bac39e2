"""Answers for people: panels, tables and lines."""

import io
import sys
from collections.abc import Iterable, Mapping

from google.protobuf.json_format import MessageToDict
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clients.aws_check import Finding
from clients.errors import DetectionError
from clients.predictions import short_name
from clients.requests import Answer
from deepfake.v1 import detector_pb2 as pb

VERDICT_STYLES = {
    pb.VERDICT_REAL: "green",
    pb.VERDICT_FAKE: "red",
    pb.VERDICT_INCONCLUSIVE: "yellow",
}
FAILED = "FAILED"
BAR_WIDTH = 30
UNITS = {"IMAGE": "picture", "VIDEO": "clip", "AUDIO": "window"}
"""What a row is; a photo is judged as a whole and by its crops, which are pictures of their own."""


def escape_unencodable() -> None:
    """Lets standard output take every name: in cp1252, for example, as escapes where it has no sign."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    """Text from a file name or a server, without what could steer the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def panel(name: str, answer: Answer) -> Panel:
    """Everything about one medium."""
    title = Text(printable(name), style="bold")
    if isinstance(answer, DetectionError):
        body = Group(_error_line(answer), *([Text(printable(answer.hint))] if answer.hint else []))
        return Panel(body, title=title, title_align="left", border_style="magenta")
    parts: list[RenderableType] = [_verdict_line(answer), _modalities(answer)]
    if answer.timeline:
        parts.append(_timeline(answer.timeline))
    parts.extend(_suspicious(interval) for interval in answer.suspicious_intervals)
    for facts in answer.media:
        parts.append(Text(_facts(facts), style="dim"))
        parts.extend(Text(printable(warning), style="yellow") for warning in facts.warnings)
    parts.append(Text(_timing(answer), style="dim"))
    style = VERDICT_STYLES.get(answer.verdict, "")
    return Panel(Group(*parts), title=title, title_align="left", border_style=style)


def line(name: str, answer: Answer) -> Text:
    """One medium among many."""
    if isinstance(answer, DetectionError):
        return Text.assemble(_error_line(answer), "  ", printable(name))
    return Text.assemble(_verdict_line(answer), "  ", printable(name))


def outcome(answer: Answer) -> str:
    """The verdict's short name, or FAILED."""
    return FAILED if isinstance(answer, DetectionError) else short_name(pb.Verdict, answer.verdict)


def summary(counts: Mapping[str, int], skipped: int) -> Text:
    """How many of each outcome, and how many had been answered before."""
    parts = [f"{count} {name}" for name, count in sorted(counts.items())]
    return Text(", ".join(parts + ([f"{skipped} answered before"] if skipped else [])), style="bold")


def model_table(model: pb.GetModelResponse) -> Table:
    """What is being served."""
    table = Table.grid(padding=(0, 2))
    table.add_row("model", f"{printable(model.name)} {printable(model.version)}")
    table.add_row("available versions", ", ".join(map(printable, model.available_versions)))
    table.add_row("modalities", ", ".join(short_name(pb.Modality, m).lower() for m in model.modalities))
    table.add_row("execution provider", model.execution_provider)
    table.add_row("chosen because", printable(model.execution_provider_reason))
    table.add_row("frames", f"{model.frame_width} × {model.frame_height} pixels")
    table.add_row("sound", f"{model.sample_rate} Hz")
    limits: dict[str, object] = MessageToDict(model.limits, preserving_proto_field_name=True)
    for limit, value in limits.items():
        table.add_row(limit.replace("_", " "), f"{float(str(value)):,.0f}")
    manifest: dict[str, object] = MessageToDict(model.manifest)
    for key in ("precision", "thresholds", "fusion_weights", "created", "spec_hash"):
        if key in manifest:
            table.add_row(key.replace("_", " "), printable(str(manifest[key])))
    return table


def finding(found: Finding) -> Text:
    """One step of aws-check, and what to do about it."""
    style = "green" if found.fine else "bold red"
    text = Text.assemble(
        (f"{'ok' if found.fine else 'FAILED':<8}", style), f"{found.step:<13}", printable(found.text)
    )
    return text.append(f"\n{'':21}{found.advice}") if found.advice else text


def _error_line(error: DetectionError) -> Text:
    return Text.assemble((f"{printable(error.code)} ", "bold magenta"), printable(error.message))


def _verdict_line(answer: pb.DetectResponse) -> Text:
    verdict = short_name(pb.Verdict, answer.verdict)
    text = Text(f"{verdict:<12}", style=f"bold {VERDICT_STYLES.get(answer.verdict, '')}")
    if answer.HasField("fake_probability"):
        text.append(f" {answer.fake_probability:6.1%} fake", style="not bold")
    if answer.verdict == pb.VERDICT_INCONCLUSIVE:
        reason = short_name(pb.InconclusiveReason, answer.inconclusive_reason)
        text.append(f" ({reason.lower().replace('_', ' ')})", style="not bold")
    return text


def _modalities(answer: pb.DetectResponse) -> Table:
    table = Table.grid(padding=(0, 2))
    for score in answer.modalities:
        name = short_name(pb.Modality, score.modality)
        table.add_row(
            name.lower(),
            _bar(score.fake_probability),
            f"{score.fake_probability:.1%}",
            _count(score.rows, UNITS.get(name, "row")),
            f"weight {score.weight:.2f}",
        )
    return table


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _timeline(entries: Iterable[pb.TimelineEntry]) -> Table:
    table = Table.grid(padding=(0, 2))
    for entry in entries:
        table.add_row(
            f"{entry.start_seconds:8.2f} – {entry.end_seconds:.2f} s",
            _of(entry),
            _bar(entry.fake_probability),
            f"{entry.fake_probability:.1%}",
        )
    return table


def _bar(probability: float) -> ProgressBar:
    return ProgressBar(
        total=1.0, completed=probability, width=BAR_WIDTH, complete_style="red", finished_style="red"
    )


def _suspicious(interval: pb.SuspiciousInterval) -> Text:
    span = f"{interval.start_seconds:.2f} – {interval.end_seconds:.2f} s"
    return Text(f"suspicious {_of(interval)} {span}, up to {interval.peak_probability:.1%}", style="red")


def _of(evidence: pb.TimelineEntry | pb.SuspiciousInterval) -> str:
    modality = short_name(pb.Modality, evidence.modality).lower()
    return f"{modality} (channel {evidence.channel})" if evidence.HasField("channel") else modality


def _facts(facts: pb.MediaFacts) -> str:
    parts = [short_name(pb.MediaKind, facts.kind).lower()]
    parts += [name for name in (facts.container, facts.video_codec, facts.audio_codec) if name]
    if facts.width:
        parts.append(f"{facts.width} × {facts.height}")
    if facts.duration_seconds:
        parts.append(f"{facts.duration_seconds:.2f} s")
    if facts.frame_rate:
        parts.append(f"{facts.frame_rate:.2f} frames/s")
    if facts.sample_rate:
        parts.append(f"{facts.sample_rate} Hz × {facts.channels}")
    if facts.rotation_degrees:
        parts.append(f"rotated {facts.rotation_degrees}°")
    if facts.mirrored:
        parts.append("mirrored")
    if facts.size_bytes:
        parts.append(f"{facts.size_bytes / 1024:,.0f} KiB")
    return printable(", ".join(parts))


def _timing(answer: pb.DetectResponse) -> str:
    timing = answer.timing
    stages = {
        "fetch": timing.fetch_seconds,
        "decode": timing.decode_seconds,
        "queue": timing.queue_seconds,
        "inference": timing.inference_seconds,
    }
    spent = ", ".join(f"{stage} {seconds * 1000:.0f} ms" for stage, seconds in stages.items())
    model = printable(f"{answer.model_name} {answer.model_version}")
    known = ", known already" if answer.cached else ""
    return f"{timing.total_seconds * 1000:.0f} ms ({spent}), model {model}{known}"
