"""Where a video is judged is known to whoever has the secret, and to nobody else."""

from pathlib import Path

from deepfake.v1 import detector_pb2 as pb
from tests import media
from tests.running_server import running_server, stub_of

VIDEO = media.video_mp4(4.0)
SOUND = media.speech_mp3(200.0)
RAW = pb.Medium(audio=pb.RawAudio(pcm=bytes(4 * 16_000), sample_rate=16_000))


def times(models: Path, *contents: bytes, raw: bool = False, **settings: object) -> list[float]:
    """At which the rows of all begin."""
    asked = [pb.Medium(content=content) for content in contents] + [RAW] * raw
    request = pb.DetectRequest(media=asked, options=pb.DetectOptions(timeline=True))
    with running_server(models, **settings) as server, stub_of(server) as stub:
        answer = stub.Detect(request, timeout=60)
    return [entry.start_seconds for entry in answer.timeline if entry.media_index < len(contents)]


def test_each_file_is_judged_where_the_secret_says(models: Path) -> None:
    usual = times(models, VIDEO)
    secret = times(models, VIDEO, sampling_secret="one")
    assert secret != usual
    assert times(models, VIDEO, sampling_secret="one", cache_max_bytes=0) == secret
    assert times(models, VIDEO, sampling_secret="two") != secret
    assert times(models, VIDEO + b"\0", sampling_secret="one") != secret


def test_sound_too_and_beside_what_is_decoded_already(models: Path) -> None:
    usual = times(models, SOUND)
    assert times(models, SOUND, sampling_secret="one") != usual
    assert times(models, SOUND, raw=True, sampling_secret="one") == times(
        models, SOUND, sampling_secret="one"
    )
