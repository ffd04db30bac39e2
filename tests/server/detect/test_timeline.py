import numpy as np

from server.detect.request import Evidence, ScoredRow
from server.detect.timeline import scored_rows, suspicious_intervals
from server.engine.batch import Scores
from server.media.types import MediaFacts, MediaKind, MediaRows


def row(start: float, end: float, probability: float, modality: str = "audio", medium: int = 0) -> ScoredRow:
    return ScoredRow(modality, medium, start, end, probability)


def test_neighbouring_suspicious_rows_become_one_interval_with_their_peak() -> None:
    rows = [row(0, 4, 0.1), row(4, 8, 0.7), row(8, 12, 0.9), row(12, 16, 0.2), row(16, 20, 0.8)]
    intervals = suspicious_intervals(rows, 0.65)
    assert [(i.start_seconds, i.end_seconds, i.peak_probability) for i in intervals] == [
        (4, 12, 0.9),
        (16, 20, 0.8),
    ]


def test_rows_at_the_threshold_count_and_the_longest_of_overlapping_ones_ends_last() -> None:
    (interval,) = suspicious_intervals([row(0, 8, 0.75), row(2, 4, 0.5), row(9, 10, 0.4)], 0.5)
    assert (interval.start_seconds, interval.end_seconds) == (0, 8)
    (interval,) = suspicious_intervals([row(2, 4, 0.5)], 0.5)
    assert interval.peak_probability == 0.5


def test_modalities_and_media_are_kept_apart() -> None:
    rows = [row(0, 4, 0.9), row(0, 4, 0.9, "video"), row(0, 4, 0.9, "audio", 1)]
    assert len(suspicious_intervals(rows, 0.65)) == 3


def test_channels_are_kept_apart() -> None:
    rows = [
        ScoredRow("audio", 0, start, start + 4, probability, channel=channel)
        for start, channel, probability in [(0, 0, 0.1), (0, 1, 0.9), (4, 0, 0.8), (4, 1, 0.7)]
    ]
    intervals = suspicious_intervals(rows, 0.65)
    assert [(i.channel, i.start_seconds, i.end_seconds, i.peak_probability) for i in intervals] == [
        (0, 4, 8, 0.8),
        (1, 0, 8, 0.9),
    ]


def test_a_photo_has_no_interval() -> None:
    assert suspicious_intervals([row(0, 0, 0.99, "image")], 0.65) == ()


def test_rows_of_several_media_get_their_own_probabilities() -> None:
    photo = MediaRows(
        MediaFacts(MediaKind.IMAGE),
        image_index=np.zeros(1, np.int64),
        image_times=np.zeros((1, 2)),
        image_regions=np.array([[0, 0, 1, 1]], np.float32),
    )
    sound = MediaRows(
        MediaFacts(MediaKind.AUDIO),
        audio_times=np.array([[0.0, 4.0], [0.0, 4.0]]),
        audio_channel=np.array([0, 2]),
    )
    scores = Scores(
        0.5,
        np.zeros(3, np.float32),
        np.ones(3, bool),
        np.array([0.1, 0.2], np.float32),
        np.zeros(0, np.float32),
        np.array([0.3, 0.4], np.float32),
        (np.arange(8) / 8).astype(np.float32).reshape(2, 2, 2),
    )
    rows = scored_rows(Evidence((photo, sound, photo), scores, np.ones(3, np.float32)))
    assert [(r.modality, r.media_index, round(r.fake_probability, 2)) for r in rows] == [
        ("image", 0, 0.1),
        ("audio", 1, 0.3),
        ("audio", 1, 0.4),
        ("image", 2, 0.2),
    ]
    assert [r.channel for r in rows] == [None, 0, 2, None]
    assert rows[3].heatmap is not None
    np.testing.assert_array_equal(rows[3].heatmap, scores.image_heatmap[1])
