from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import expit

from server.media.isolation import DecodePool
from server.media.limits import MediaLimits
from server.media.types import RowSpec
from tests.exporter import other_models
from tests.media import encode_picture, encode_sound, photo_jpeg, speech_wav, video_mp4, voice
from tests.training_records import add_record
from training.__main__ import main
from training.calibrate import Calibration
from training.errors import DataError
from training.evaluation.judge import Task
from training.evaluation.judged import JudgedFile
from training.evaluation.keras_judge import KerasJudge, keras_judge
from training.labels import UNCLEAR


@pytest.mark.parametrize("content", [None, b"cut short"])
def test_a_model_that_cannot_be_loaded_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    name = "audio_model_best.keras"
    add_record(tmp_path, "audio")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["evaluate", "--data-dir", str(tmp_path), "--models", str(tmp_path)]) == 1
    assert name in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize("content", [b"{", b"\xff"])
def test_a_record_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "audio_model.json").write_bytes(content)
    assert main(["evaluate", "--data-dir", str(tmp_path), "--models", str(tmp_path)]) == 1
    assert "audio_model.json is not a training record" in capsys.readouterr().out.replace("\n", " ")


def test_models_that_make_no_one_detector_are_refused(tmp_path: Path) -> None:
    add_record(tmp_path, "image", spec_hash="of other rows")
    with pytest.raises(DataError, match="trained on other rows"), keras_judge(tmp_path, workers=1):
        pass
    for modality, shape in {"image": (20, 28, 3), "video": (3, 28, 20, 3)}.items():
        rows = keras.Input(shape, dtype="uint8")
        logit = layers.Reshape(())(layers.Dense(1)(layers.Flatten()(layers.Rescaling(1 / 255)(rows))))
        heatmap = layers.Reshape((1, 1))(logit)
        keras.Model(rows, {"logit": logit, "heatmap": heatmap}).save(
            tmp_path / f"{modality}_model_best.keras"
        )
        add_record(tmp_path, modality, branch={})
    with pytest.raises(DataError, match="frames of different sizes"), keras_judge(tmp_path, workers=1):
        pass


def judged_by_its_offset(content: bytes, by_channel: bool = False) -> JudgedFile:
    """A fake sound, by a model whose logit is ten times the mean of the samples."""

    def model(rows: Any, training: bool) -> dict[str, Any]:
        return {"logit": 10 * rows.mean(1)}

    branch: Any = SimpleNamespace(model=model, calibration=Calibration())
    spec = RowSpec(want_images=False, want_clips=False, window_samples=16_000, by_channel=by_channel)
    task = Task(JudgedFile(path="sound", label=1, kind="audio"), content)
    with closing(DecodePool(1, MediaLimits())) as pool:
        (answer,) = KerasJudge({"audio": branch}, spec, pool).judge([task])
    return answer


def test_a_voice_in_a_channel_of_its_own_is_judged_by_itself() -> None:
    call = np.stack([voice(4, 16_000, 1) - 0.2, voice(4, 16_000, 2) + 0.2])
    answer = judged_by_its_offset(encode_sound(call, "wav", "pcm_s16le", 16_000), by_channel=True)
    assert answer.audio_probability == pytest.approx(expit(2), abs=0.01)
    assert answer.verdict == "FAKE"
    assert [row.label for row in answer.rows] == [UNCLEAR] * 8


def test_a_video_listed_for_its_sound_is_judged() -> None:
    answer = judged_by_its_offset(video_mp4())
    assert answer.audio_probability == pytest.approx(0.5, abs=0.01)
    assert (answer.verdict, answer.reason) == ("INCONCLUSIVE", "BETWEEN_THRESHOLDS")
    assert {row.label for row in answer.rows} == {1}


def constant(logit: float, calibration: Calibration) -> Any:
    """A branch whose model says this of rows of sound, and of pictures; their halves glow as they shine."""

    def model(rows: Any, training: bool) -> dict[str, Any]:
        logits = np.full(len(rows), logit, np.float32)
        if rows.ndim < 4:
            return {"logit": logits}
        cells = rows.reshape(len(rows), 2, rows.shape[1] // 2, -1).mean(axis=(2, 3))
        return {"logit": logits, "heatmap": cells[..., None] / 10 - 10}

    return SimpleNamespace(model=model, calibration=calibration)


def test_models_are_fused_by_their_weights_and_each_file_has_its_own_rows() -> None:
    branches: dict[Any, Any] = {
        "image": constant(2, Calibration(temperature=2)),
        "audio": constant(-1, Calibration(bias=0.5)),
    }
    spec = RowSpec(32, 32, frames=3, window_samples=16_000, want_clips=False)
    files = [(video_mp4(sound=False), "video"), (video_mp4(), "video"), (speech_wav(1.0), "audio")]
    with closing(DecodePool(1, MediaLimits())) as pool:
        judge = KerasJudge(branches, spec, pool)
        silent, both, sound = judge.judge(
            Task(JudgedFile(path=kind, label=0, kind=kind), content) for content, kind in files
        )
    seen, heard = expit(1), expit(-0.5)
    assert silent.fake_probability == pytest.approx(seen)
    assert both.fake_probability == pytest.approx((0.4 * seen + 0.2 * heard) / 0.6)
    assert sound.fake_probability == pytest.approx(heard)
    assert (silent.verdict, sound.verdict) == ("FAKE", "INCONCLUSIVE")
    assert silent.audio_probability is None
    assert both.audio_probability == pytest.approx(heard)
    rows = [row for row in both.rows if row.modality == "image"]
    assert len(rows) == 3
    assert all(earlier.start_seconds < later.start_seconds for earlier, later in pairwise(rows))
    (window,) = sound.rows
    assert window.end_seconds - window.start_seconds == pytest.approx(1, abs=0.05)


def test_activations_are_probabilities_cell_by_cell() -> None:
    halves = np.repeat(np.array([[100], [140]], np.uint8), 16, axis=0)
    picture = np.broadcast_to(halves[..., None], (32, 32, 3))
    calibration = Calibration(temperature=2, bias=-1)
    with closing(DecodePool(1, MediaLimits())) as pool:
        judge = KerasJudge({"image": constant(6, calibration)}, RowSpec(32, 32, crops=0), pool)
        (seen,) = judge.activations(encode_picture(np.ascontiguousarray(picture), "PNG"))
        assert KerasJudge({}, RowSpec(32, 32), pool).activations(b"") == []
    assert seen.fake_probability == pytest.approx(expit(2))
    np.testing.assert_allclose(seen.heatmap, expit([[-1], [1]]), atol=1e-6)


def test_a_file_without_anything_to_judge_is_inconclusive() -> None:
    answer = judged_by_its_offset(video_mp4(sound=False))
    assert (answer.verdict, answer.reason) == ("INCONCLUSIVE", "NO_EVIDENCE")
    assert answer.fake_probability is None


def test_a_model_of_other_origin_gets_the_rows_that_its_detector_would_ask_for(tmp_path: Path) -> None:
    """Its record has none of our trainer's settings, and leaves to the model what that tells."""
    rows = keras.Input((20, 28, 3), dtype="uint8")
    cells = layers.Conv2D(1, 3)(layers.Rescaling(1 / 255)(rows))
    heatmap = layers.Reshape(cells.shape[1:3])(cells)
    outputs = {"logit": layers.Reshape(())(layers.GlobalMaxPooling2D()(cells)), "heatmap": heatmap}
    keras.Model(rows, outputs).save(tmp_path / "image_model_best.keras")
    sound = keras.Input((800,), dtype="float32")
    keras.Model(sound, {"logit": layers.Reshape(())(layers.Dense(1)(sound))}).save(
        tmp_path / "audio_model_best.keras"
    )
    clips = keras.Input((3, 20, 28, 3), dtype="uint8")
    means = layers.GlobalAveragePooling3D()(layers.Rescaling(1 / 255)(clips))
    keras.Model(clips, {"logit": layers.Reshape(())(layers.Dense(1)(means))}).save(
        tmp_path / "video_model_best.keras"
    )
    branches = {
        "image": {"crops": 2, "frames_per_video": 4},
        "audio": {"sample_rate": 8_000, "max_windows": 3},
        "video": {"clips_per_video": 2},
    }
    for modality, branch in branches.items():
        add_record(tmp_path, modality, branch=branch, settings={"by": "hand"})
    truths = [JudgedFile(path=kind, label=0, kind=kind) for kind in branches]
    contents = (photo_jpeg(96, 80, 1), speech_wav(1.0, seed=1), video_mp4(sound=False))
    tasks = [Task(truth, content) for truth, content in zip(truths, contents, strict=True)]
    unmasked = Task(truths[0], photo_jpeg(96, 80, 2), mask=tmp_path / "gone.png")
    with keras_judge(tmp_path, workers=1) as judge:
        photo, voice, video, left_out = judge.judge([*tasks, unmasked])
    assert (left_out.error or "").startswith("MASK: ")
    assert [row.modality for row in (*photo.rows, *voice.rows)] == ["image"] * 3 + ["audio"] * 3
    assert [row.modality for row in video.rows] == ["image"] * 4 + ["video"] * 2


def test_a_model_in_mixed_precision_is_judged_as_its_graph_computes(tmp_path: Path) -> None:
    probabilities = []
    for policy in ("float32", "mixed_bfloat16"):
        folder = tmp_path / policy
        folder.mkdir()
        keras.utils.set_random_seed(1)
        other_models.in_half(lambda: other_models.sound_model(other_models.attention), policy).save(
            folder / "audio_model_best.keras"
        )
        add_record(folder, "audio", branch={})
        with keras_judge(folder, workers=1) as judge:
            (answer,) = judge.judge([Task(JudgedFile(path="a", label=0, kind="audio"), speech_wav(1.0))])
        probabilities.append(answer.fake_probability)
    assert probabilities[1] == pytest.approx(probabilities[0], abs=1e-6)


@pytest.mark.parametrize(
    ("modality", "colours", "outputs", "told"),
    [
        ("image", 1, {"logit"}, "20, 28, 1]"),
        ("image", 3, set(), "has no output 'logit'"),
        ("video", 3, {"logit"}, "[batch, frames, height, width, 3]"),
        ("audio", 3, {"logit"}, "[batch, samples]"),
    ],
)
def test_a_model_of_something_else_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    modality: str,
    colours: int,
    outputs: set[str],
    told: str,
) -> None:
    rows = keras.Input((20, 28, colours), dtype="uint8")
    cells = layers.Conv2D(1, 3)(layers.Rescaling(1 / 255)(rows))
    given = {"heatmap": layers.Reshape(cells.shape[1:3])(cells)}
    given |= dict.fromkeys(outputs, layers.Reshape(())(layers.GlobalMaxPooling2D()(cells)))
    keras.Model(rows, given).save(tmp_path / f"{modality}_model_best.keras")
    add_record(tmp_path, modality, branch={})
    photo = tmp_path / "real" / "images" / "a.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(photo_jpeg(64, 48, 1))
    command = ["evaluate", "--data-dir", str(tmp_path), "--models", str(tmp_path), "--split", "all"]
    assert main(command) == 1
    assert told in capsys.readouterr().out.replace("\n", " ")
