"""The command as a user runs it, on a small folder of real files."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import server
from server.errors import DecodeTimeout
from server.media.isolation import DecodePool
from server.media.spec import spec_hash
from server.media.types import MediaRows
from tests import media
from tests.training.prepare.runs import lists, rejected, run, write
from training.__main__ import main
from training.errors import DataError, LeakError
from training.files import find_samples
from training.prepare.page import PAGE, PNG
from training.prepare.run import JOURNAL
from training.sample import Sample, write_samples


@pytest.fixture(scope="module")
def data(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("data")
    run(raw, output)
    return output


def test_every_file_is_listed_or_rejected_with_its_reason(raw: Path, data: Path) -> None:
    left_out = rejected(data)
    assert left_out == [
        ("both.jpg", "CONTRADICTION"),
        ("both.jpg", "CONTRADICTION"),
        ("broken_off.mp4", "CORRUPT_MEDIA"),
        ("caf\\udce9.jpg'", "NAME"),
        ("damaged.jpg", "CORRUPT_MEDIA"),
        ("notes.txt", "UNSUPPORTED_MEDIA"),
        ("p03.jpg", "DUPLICATE"),
        ("two\\nlines.jpg'", "NAME"),
    ]
    assert len(find_samples(data)) + len(left_out) == sum(path.is_file() for path in raw.rglob("*"))


def test_the_csv_tells_what_was_found(raw: Path, data: Path) -> None:
    samples = {Path(sample.path).relative_to(raw).as_posix(): sample for sample in find_samples(data)}
    clip = samples["fake/videos/swap/clip.mp4"]
    assert (clip.modality, clip.label, clip.manipulation, clip.dataset) == ("video", 1, "swap", "plain")
    assert clip.duration_seconds == pytest.approx(0.6, abs=0.05)
    assert clip.identities == ("name/clip",)
    assert set(clip.checks) == {"decoded", "complete", "unique"}
    assert len(clip.content_hash) == 64
    assert samples["real/audio/voice.wav"].duration_seconds == pytest.approx(2.0)
    original, smaller = samples["real/images/p04.jpg"], samples["real/images/smaller_p04.jpg"]
    assert original.group == smaller.group
    assert "unique" not in original.checks
    assert "smaller_p04" in (data / "near_duplicates.csv").read_text()


def test_the_page_shows_the_picture_and_needs_nothing_else(data: Path) -> None:
    assert (data / PNG).read_bytes().startswith(b"\x89PNG")
    page = (data / PAGE).read_text()
    assert "data:image/png;base64," in page
    assert "CONTRADICTION" in page
    assert "://" not in page


def test_the_lists_do_not_depend_on_workers_or_on_the_order_of_the_file_system(
    raw: Path, data: Path, tmp_path: Path
) -> None:
    run(raw, tmp_path, workers=1)
    assert lists(tmp_path) == lists(data)
    run(raw, tmp_path, seed=1)
    assert lists(tmp_path) != lists(data)


def test_known_files_are_not_opened_again_and_changed_ones_are(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "raw"
    shutil.copytree(raw, source)
    run(source, tmp_path / "data")
    before = lists(tmp_path / "data")
    opened: list[Path] = []
    read_bytes = Path.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: opened.append(path) or read_bytes(path))  # type: ignore[func-returns-value]
        run(source, tmp_path / "data")
        assert [path for path in opened if path.is_relative_to(source)] == []
        newer, longer = source / "real/images/p01.jpg", source / "real/images/p02.jpg"
        size, time_ns = newer.stat().st_size, longer.stat().st_mtime_ns
        write(newer, media.photo_jpeg(64, 48, seed=77).ljust(size, b"\0"))
        write(longer, media.photo_jpeg(seed=78))
        os.utime(longer, ns=(time_ns, time_ns))
        assert newer.stat().st_size == size
        run(source, tmp_path / "data")
        assert [path for path in opened if path.is_relative_to(source)] == [newer, longer]
    assert lists(tmp_path / "data") != before


def test_what_other_decoders_refused_is_opened_again(tmp_path: Path) -> None:
    write(tmp_path / "raw/real/images/a.jpg", media.photo_jpeg(64, 48))
    run(tmp_path / "raw", tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / JOURNAL)) as database, database:
        database.execute("UPDATE version SET text = ?", [f"2 {spec_hash()}"])
        database.execute("UPDATE inspections SET found = 'UNSUPPORTED_MEDIA: made of tiles'")
    assert not run(tmp_path / "raw", tmp_path / "data").rejected


def test_a_video_may_be_listed_for_its_sound_and_is_opened_again_for_it(tmp_path: Path) -> None:
    write(tmp_path / "corpus/a.mp4", media.video_mp4(0.4, sound=False))
    write(tmp_path / "corpus/b.mp4", media.video_mp4(1.0))
    for modality in ("video", "audio"):
        lines = f"a.mp4,{modality},0,train,a\nb.mp4,audio,0,train,b\n"
        write(tmp_path / "corpus/corpus.csv", f"path,modality,label,split,group\n{lines}".encode())
        run(tmp_path / "corpus", tmp_path / "data")
        assert rejected(tmp_path / "data") == ([] if modality == "video" else [("a.mp4", "NO_ROWS")])


def test_a_file_that_took_too_long_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"raw/real/images/{name}.jpg", media.photo_jpeg(64, 48, seed=ord(name)))
    submit, slow = DecodePool.submit, (tmp_path / "raw/real/images/a.jpg").read_bytes()

    def late(pool: DecodePool, data: bytes, *wanted: Any) -> Future[MediaRows]:
        if data != slow:
            return submit(pool, data, *wanted)
        failed: Future[MediaRows] = Future()
        failed.set_exception(DecodeTimeout("too late"))
        return failed

    with monkeypatch.context() as patch:
        patch.setattr(DecodePool, "submit", late)
        run(tmp_path / "raw", tmp_path / "data")
    assert [name for name, _ in rejected(tmp_path / "data")] == ["a.jpg"]
    run(tmp_path / "raw", tmp_path / "data")
    assert rejected(tmp_path / "data") == []


def test_of_equal_files_one_that_does_not_leak_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    for name in ("a.png", "b.png"):
        write(folder / name, media.photo_jpeg(200, 150, 1))
    write(folder / "c.png", media.photo_jpeg(200, 150, 2))
    samples = [
        Sample(str(folder / "a.png"), "image", 0, "train", "a", "none"),
        Sample("b.png", "image", 0, "test", "b", "none"),
        Sample("c.png", "image", 1, "train", "c", "swap"),
    ]
    write_samples(folder / "corpus.csv", samples)
    run(folder, tmp_path / "data", on_leak="leave-out")
    assert rejected(tmp_path / "data") == [("a.png", "LEAK")]
    kept = {Path(sample.path).name: sample.split for sample in find_samples(tmp_path / "data")}
    assert kept == {"b.png": "test", "c.png": "train"}


@pytest.mark.parametrize("label", [0, 1])
def test_equal_bytes_with_two_labels_are_left_out_whichever_comes_first(tmp_path: Path, label: int) -> None:
    samples = [
        Sample(f"{name}.jpg", "image", of, "train", name)
        for name, of in (("a", label), ("b", 1 - label), ("c", 0), ("d", 1))
    ]
    for sample, seed in zip(samples, (1, 1, 2, 3), strict=True):
        write(tmp_path / "corpus" / sample.path, media.photo_jpeg(200, 150, seed))
    write_samples(tmp_path / "corpus/corpus.csv", samples)
    run(tmp_path / "corpus", tmp_path / "data")
    assert rejected(tmp_path / "data") == [("a.jpg", "CONTRADICTION"), ("b.jpg", "CONTRADICTION")]


def test_a_file_that_decodes_with_a_warning_is_not_complete(tmp_path: Path) -> None:
    for name, end in (("whole", None), ("cut", -2)):
        write(tmp_path / f"raw/real/images/{name}.jpg", media.photo_jpeg(200, 150, seed=len(name))[:end])
    run(tmp_path / "raw", tmp_path / "data")
    complete = {
        Path(sample.path).stem: "complete" in sample.checks for sample in find_samples(tmp_path / "data")
    }
    assert complete == {"whole": True, "cut": False}


def test_when_every_file_is_left_out_it_says_why(tmp_path: Path) -> None:
    for label in ("real", "fake"):
        write(tmp_path / f"raw/{label}/images/a.jpg", media.photo_jpeg(200, 150, 1))
    with pytest.raises(DataError, match="2 CONTRADICTION"):
        run(tmp_path / "raw", tmp_path / "data")


def test_folders_that_are_links_are_told(tmp_path: Path) -> None:
    for label, seed in (("real", 1), ("fake", 2)):
        write(tmp_path / f"raw/{label}/images/{label}.jpg", media.photo_jpeg(200, 150, seed))
    write(tmp_path / "elsewhere/other.jpg", media.photo_jpeg(200, 150, 3))
    (tmp_path / "raw/real/images/more").symlink_to(tmp_path / "elsewhere")
    run(tmp_path / "raw", tmp_path / "data")
    assert rejected(tmp_path / "data") == [("more", "LINK")]


def test_the_command_that_it_tells_trains_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("real", "fake"):
        for number in range(3):
            sound = media.speech_wav(1.0, seed=number + 10 * (label == "fake"))
            write(tmp_path / f"raw/{label}/audio/{label}{number}.wav", sound)
    assert main(["prepare", "--output", str(tmp_path / "data"), str(tmp_path / "raw")]) == 0
    assert "--media-types audio" in " ".join(capsys.readouterr().out.split())


def faceforensics(root: Path, train: str, val: str) -> None:
    """Two pairs of YouTube videos with official splits."""
    for number, name in enumerate(("000", "003", "071", "054")):
        video = media.video_mp4(0.4, width=128, height=96, sound=False, seed=number)
        write(root / f"original_sequences/youtube/c23/videos/{name}.mp4", video)
    for number, name in enumerate(("000_003", "003_000", "071_054")):
        video = media.video_mp4(0.4, width=128, height=96, sound=False, seed=10 + number)
        write(root / f"manipulated_sequences/Deepfakes/c23/videos/{name}.mp4", video)
    for split, pairs in (("train", train), ("val", val), ("test", "[]")):
        write(root / f"splits/{split}.json", pairs.encode())


def test_official_splits_are_kept(tmp_path: Path) -> None:
    faceforensics(tmp_path / "ff", '[["000", "003"]]', '[["071", "054"]]')
    run(tmp_path / "ff", tmp_path / "data")
    splits = {Path(sample.path).stem: sample.split for sample in find_samples(tmp_path / "data")}
    assert splits == dict.fromkeys(("000", "003", "000_003", "003_000"), "train") | dict.fromkeys(
        ("071", "054", "071_054"), "val"
    )


@pytest.mark.parametrize(
    ("flags", "advice"),
    [
        ([], "--no-official-splits makes new splits"),
        (["--no-official-splits"], "with few sources another --seed may help"),
    ],
)
def test_a_split_that_lacks_a_class_comes_with_what_helps(
    flags: list[str], advice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faceforensics(tmp_path / "ff", '[["000", "003"]]', '[["071", "054"]]')
    assert main(["prepare", "--output", str(tmp_path / "data"), str(tmp_path / "ff"), *flags]) == 0
    assert f"split has no fake files; {advice}" in " ".join(capsys.readouterr().out.split())


def test_a_planted_leak_is_refused_with_identity_and_files_and_can_be_left_out(tmp_path: Path) -> None:
    """000 is in the training split; a re-encoded copy of it, under another name, in validation."""
    faceforensics(tmp_path / "ff", '[["000", "003"]]', '[["071", "054"]]')
    pictures = media.moving_pictures(10, 128, 96, seed=0)
    copy = tmp_path / "ff/original_sequences/youtube/c23/videos/071.mp4"
    write(copy, media.encode_video(pictures, options={"crf": "30"}))
    with pytest.raises(LeakError, match="nearly so") as caught:
        run(tmp_path / "ff", tmp_path / "data")
    assert {Path(path).stem: split for path, split in caught.value.files.items()} == {
        "000": "train",
        "071": "val",
    }
    assert not lists(tmp_path / "data")
    run(tmp_path / "ff", tmp_path / "data", on_leak="leave-out")
    assert ("000.mp4", "LEAK") in rejected(tmp_path / "data")
    assert "071" in {Path(sample.path).stem for sample in find_samples(tmp_path / "data")}


def test_a_celebrity_in_two_official_splits_is_refused_by_name(tmp_path: Path) -> None:
    root = tmp_path / "celeb"
    for number, name in enumerate(("Celeb-real/id0_0000", "Celeb-synthesis/id0_id1_0000")):
        write(root / f"{name}.mp4", media.video_mp4(0.4, width=128, height=96, sound=False, seed=number))
    write(root / "List_of_testing_videos.txt", b"0 Celeb-synthesis/id0_id1_0000.mp4\n")
    with pytest.raises(LeakError) as caught:
        run(root, tmp_path / "data")
    assert caught.value.what == "identity celeb-df/id0"
    assert {Path(path).stem: split for path, split in caught.value.files.items()} == {
        "id0_0000": "train or val",
        "id0_id1_0000": "test",
    }
    run(root, tmp_path / "data", official_splits=False)
    assert len({sample.split for sample in find_samples(tmp_path / "data")}) == 1


def test_fit_refuses_lists_that_leak(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    line = (data / "train.csv").read_text().splitlines()[1]
    with (tmp_path / "test.csv").open("a") as file:
        file.write(line.replace(",train,", ",test,") + "\n")
    bundled = str(Path(server.__file__).parent / "bundled")
    for command in (["fit"], ["evaluate", "--engine", "onnx", "--models", bundled]):
        assert main([*command, "--data-dir", str(tmp_path)]) == 1
        assert "is in more than one split" in capsys.readouterr().out


def test_only_one_prepare_works_on_a_folder(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path)
    other = sqlite3.connect(tmp_path / JOURNAL)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DataError, match="in use"):
        run(raw, tmp_path)
    other.close()


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "raw/real/images").mkdir(parents=True)
    with pytest.raises(DataError, match="no usable file"):
        run(tmp_path / "raw", tmp_path / "data")


def inspected(output: Path, scratch: Path) -> int:
    """How many files the journal of a running prepare has; it is read as a kill would leave it."""
    for path in (output / JOURNAL.parent).glob("journal.sqlite*"):
        with suppress(FileNotFoundError):  # SQLite has just removed it
            shutil.copy(path, scratch / path.name)
    try:
        database = sqlite3.connect(scratch / JOURNAL.name)
        (count,) = database.execute("SELECT COUNT(*) FROM inspections").fetchone()
        return int(count)
    except sqlite3.DatabaseError:
        return 0


def test_killed_at_any_moment_it_goes_on_to_the_same_lists(tmp_path: Path) -> None:
    source, scratch = tmp_path / "raw", tmp_path / "scratch"
    scratch.mkdir()
    videos = [media.video_mp4(2.0, 10, width=640, height=480, sound=False, seed=seed) for seed in range(4)]
    for number in range(200):
        # A box without meaning at the end makes another file of it, and encoding takes longer than decoding.
        data = videos[number % 4] + b"\0\0\0\x0afree" + number.to_bytes(2, "big")
        write(source / ("real", "fake")[number % 2] / f"videos/v{number:03d}.mp4", data)
    run(source, tmp_path / "whole")
    command = [sys.executable, "-m", "training", "prepare", str(source), "--workers", "2"]
    command += ["--output-dir", str(tmp_path / "killed")]
    counts = [0]
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None and inspected(tmp_path / "killed", scratch) <= counts[-1]:
            time.sleep(0.005)
        assert process.poll() is None, "it ended before it was killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts.append(inspected(tmp_path / "killed", scratch))
    assert 0 < counts[1] < counts[2], "a run lost what an earlier one had found"
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert lists(tmp_path / "killed") == lists(tmp_path / "whole")


def test_prepare_starts_without_tensorflow() -> None:
    code = "import sys, training.__main__, training.prepare.run; print('tensorflow' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"
