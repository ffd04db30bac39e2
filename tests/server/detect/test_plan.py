import pytest

from server.detect.plan import Planner
from server.detect.request import Options
from server.engine.manifest import MODALITIES
from server.engine.session import Session


@pytest.mark.parametrize("wanted", [*MODALITIES, ""])
def test_only_what_is_asked_for_is_decoded(session: Session, wanted: str) -> None:
    planner = Planner(session.manifest)
    spec = planner.row_spec(Options(modalities=frozenset(wanted.split())))
    decoded = spec.want_images, spec.want_clips, spec.want_audio
    assert decoded == tuple(wanted in ("", name) for name in MODALITIES)


def test_each_number_of_frames_has_a_plan_of_its_own(session: Session) -> None:
    planner = Planner(session.manifest)
    frames = [planner.row_spec(Options(frames_per_video=count)).frames for count in (3, None, 7, 3)]
    assert session.manifest.image
    assert frames == [3, session.manifest.image.frames_per_video, 7, 3]
