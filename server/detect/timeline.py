"""Where the evidence lies: every scored row, and the intervals in which rows look fake."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from server.detect.request import AUDIO, IMAGE, VIDEO, Evidence, ScoredRow, SuspiciousInterval


def scored_rows(evidence: Evidence) -> tuple[ScoredRow, ...]:
    """Every row with its probability, ordered by medium, modality and time."""
    scores = evidence.scores
    images = iter(zip(scores.image_probability, scores.image_heatmap, strict=True))
    clips, windows = iter(scores.clip_probability), iter(scores.audio_probability)
    rows: list[ScoredRow] = []
    for number, medium in enumerate(evidence.media):
        for (start, end), region in zip(medium.image_times, medium.image_regions, strict=True):
            probability, heatmap = next(images)
            left, top, right, bottom = map(float, region)
            edges = (left, top, right, bottom)
            rows.append(
                ScoredRow(IMAGE, number, float(start), float(end), float(probability), edges, heatmap)
            )
        rows.extend(
            ScoredRow(VIDEO, number, float(start), float(end), float(next(clips)))
            for start, end in medium.clip_times
        )
        channels = medium.audio_channel.tolist() or [None] * len(medium.audio_times)
        rows.extend(
            ScoredRow(AUDIO, number, float(start), float(end), float(next(windows)), channel=channel)
            for (start, end), channel in zip(medium.audio_times, channels, strict=True)
        )
    return tuple(rows)


def suspicious_intervals(rows: Sequence[ScoredRow], threshold: float) -> tuple[SuspiciousInterval, ...]:
    """Runs of neighbouring rows of one modality, medium and channel at or above the threshold, merged.

    Rows without a duration (photos, single decoded frames) belong to no interval.
    """
    groups: dict[tuple[int, str, int | None], list[ScoredRow]] = {}
    for row in rows:
        if row.end_seconds > row.start_seconds:
            groups.setdefault((row.media_index, row.modality, row.channel), []).append(row)
    return tuple(interval for group in groups.values() for interval in _runs(group, threshold))


def _runs(rows: Iterable[ScoredRow], threshold: float) -> Iterator[SuspiciousInterval]:
    by_time = sorted(rows, key=lambda row: row.start_seconds)
    for suspicious, run in groupby(by_time, key=lambda row: row.fake_probability >= threshold):
        if suspicious:
            members = list(run)
            yield SuspiciousInterval(
                members[0].modality,
                members[0].media_index,
                members[0].start_seconds,
                max(row.end_seconds for row in members),
                max(row.fake_probability for row in members),
                members[0].channel,
            )
