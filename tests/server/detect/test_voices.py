"""A request whose sounds hold voices of their own, against its parts judged one by one."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.detect.voices import join, split
from server.engine.session import Session
from server.media.types import MediaFacts, MediaKind, MediaRows
from tests.random_rows import assert_same, random_rows

Channels = list[list[int]]


def media(channels: Channels, windows: list[int]) -> list[MediaRows]:
    """Sounds by the channels of their windows; without those, so many windows of the mean."""
    return [
        MediaRows(
            MediaFacts(MediaKind.AUDIO),
            audio=np.zeros((len(own) or mixed, 1), np.float32),
            audio_channel=np.asarray(own, np.int64),
        )
        for own, mixed in zip(channels, windows, strict=True)
    ]


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=3),
    st.integers(0, 2),
    st.sampled_from([(0.4, 0.4, 0.2), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (1e30, 1e30, 3e38)]),
)
def test_the_voice_that_looks_most_fake_counts(
    session: Session, channels: Channels, images: int, shares: tuple[float, float, float]
) -> None:
    of = media(channels, [2] * len(channels))
    # Whose each window is: a voice's, or the mean's, of which all sounds without voices have part.
    owners = [
        (number, channel) if own else "mean"
        for number, own in enumerate(channels)
        for channel in own or [0, 0]
    ]
    weights = np.array(shares, np.float32)
    rows = replace(
        random_rows(session.manifest, 7, images=images, clips=images, windows=len(owners)), weights=weights
    )

    parts, places = split(rows, of)
    assert len(parts) == len(set(owners))
    assert sum(len(part.audio) for part in parts) == len(rows.audio)
    assert [len(part.image_index) for part in parts[1:]] == [0] * (len(parts) - 1)
    got = join(session.run(parts), places, weights)

    # Each voice with all pictures, as if there were no other.
    heard = [[owner == one for owner in owners] for one in set(owners)]
    alone = session.run([replace(rows, audio=rows.audio[own]) for own in heard])
    expected = max(alone, key=lambda scores: scores.modality_probability[2])
    together = session.run([rows])[0]
    assert_same(got, replace(expected, audio_probability=together.audio_probability))


def test_what_is_mixed_is_one_part_with_the_pictures(session: Session) -> None:
    rows = random_rows(session.manifest, 1, images=2, clips=1, windows=4)
    parts, owners = split(rows, media([[], []], [1, 3]))
    assert parts == [rows]
    scores = session.run([rows])
    assert join(scores, owners, rows.weights) is scores[0]
