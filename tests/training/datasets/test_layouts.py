"""Every adapter on a miniature tree of the data set's own shape; nothing is decoded here."""

import json
from pathlib import Path

import pytest

from training.datasets import DATASETS, find_dataset
from training.datasets.listing import ANY_SPLIT, NOT_FOR_TEST, MediaFile, Unusable
from training.errors import DataError
from training.sample import Sample, write_samples


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def read(root: Path, expected: str) -> dict[str, MediaFile | Unusable]:
    """Entries by path; the layout must be told without being named."""
    dataset = find_dataset(root)
    assert dataset.name == expected
    return {entry.path.relative_to(root).as_posix(): entry for entry in dataset.read(root)}


def media(entry: MediaFile | Unusable) -> MediaFile:
    assert isinstance(entry, MediaFile)
    return entry


def test_plain_folder(tmp_path: Path) -> None:
    touch(tmp_path, "real/images/a;b.jpg", "fake/videos/swap/new/a.mp4", "fake/audio/a.wav", "real/images/.x")
    found = read(tmp_path, "plain")
    assert set(found) == {"real/images/a;b.jpg", "fake/videos/swap/new/a.mp4", "fake/audio/a.wav"}
    real, fake = media(found["real/images/a;b.jpg"]), media(found["fake/videos/swap/new/a.mp4"])
    assert (real.modality, real.label, real.manipulation, real.identities) == (
        "image",
        0,
        "none",
        ("name/a_b",),
    )
    assert (fake.modality, fake.label, fake.manipulation) == ("video", 1, "swap/new")
    assert media(found["fake/audio/a.wav"]).manipulation == "unknown"
    assert real.splits == ANY_SPLIT


def test_a_corpus_csv_says_all(tmp_path: Path) -> None:
    touch(tmp_path, "fake/images/a.jpg")
    region = (0.25, 0.0, 0.5, 1.0)
    sample = Sample("fake/images/a.jpg", "image", 1, "val", "g", "blend", region, identities=("anna",))
    write_samples(tmp_path / "corpus.csv", [sample])
    entry = media(read(tmp_path, "corpus")["fake/images/a.jpg"])
    assert (entry.label, entry.splits, entry.manipulation, entry.region) == (1, ("val",), "blend", region)
    assert entry.identities == ("corpus/g", "anna")


def test_a_corpus_csv_that_lists_a_video_for_its_sound_too_is_not_prepared(tmp_path: Path) -> None:
    write_samples(
        tmp_path / "corpus.csv",
        [Sample("a.mp4", "video", 0, "val", "g"), Sample("a.mp4", "audio", 1, "val", "g")],
    )
    with pytest.raises(DataError, match=r"a\.mp4 is listed as video and as audio"):
        read(tmp_path, "corpus")


def faceforensics(root: Path) -> None:
    touch(
        root,
        "original_sequences/youtube/c23/videos/071.mp4",
        "original_sequences/youtube/raw/videos/054.mp4",
        "original_sequences/actors/c40/videos/01__exit_phone_room.mp4",
        "manipulated_sequences/Deepfakes/c23/videos/071_054.mp4",
        "manipulated_sequences/Deepfakes/masks/videos/071_054.mp4",
        "manipulated_sequences/FaceShifter/c40/videos/054_071.mp4",
        "manipulated_sequences/NeuralTextures/c23/videos/000_054.mp4",
        "manipulated_sequences/Face2Face/c23/videos/999_998.mp4",
        "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4",
    )
    touch(root, "splits/train.json", "splits/val.json", "splits/test.json")
    (root / "splits/train.json").write_text('[["071", "054"]]')
    (root / "splits/val.json").write_text('[["000", "003"]]')
    (root / "splits/test.json").write_text("[]")


def test_faceforensics(tmp_path: Path) -> None:
    faceforensics(tmp_path)
    found = read(tmp_path, "faceforensics")
    assert len(found) == 8  # all but the mask
    fake = media(found["manipulated_sequences/Deepfakes/c23/videos/071_054.mp4"])
    assert fake.identities == ("faceforensics-youtube/071", "faceforensics-youtube/054")
    assert (fake.label, fake.manipulation, fake.compression) == (1, "Deepfakes", "c23")
    assert fake.splits == ("train",)
    assert media(found["manipulated_sequences/FaceShifter/c40/videos/054_071.mp4"]).splits == ("train",)
    real = media(found["original_sequences/youtube/raw/videos/054.mp4"])
    assert (real.label, real.splits, real.manipulation, real.compression) == (0, ("train",), "none", "raw")
    actor = media(found["original_sequences/actors/c40/videos/01__exit_phone_room.mp4"])
    assert (actor.identities, actor.splits) == (("faceforensics-actors/01",), ANY_SPLIT)
    acted = media(
        found["manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4"]
    )
    assert acted.identities == ("faceforensics-actors/01", "faceforensics-actors/02")
    torn = found["manipulated_sequences/NeuralTextures/c23/videos/000_054.mp4"]
    unknown = found["manipulated_sequences/Face2Face/c23/videos/999_998.mp4"]
    assert isinstance(torn, Unusable)
    assert isinstance(unknown, Unusable)
    assert torn.reason.startswith("SPLIT")


def test_faceforensics_without_its_split_files_is_free(tmp_path: Path) -> None:
    touch(tmp_path, "manipulated_sequences/Deepfakes/c23/videos/071_054.mp4")
    (entry,) = read(tmp_path, "faceforensics").values()
    assert media(entry).splits == ANY_SPLIT


def dfdc(root: Path, folder: str, **videos: tuple[str, str, str | None]) -> None:
    facts = {
        f"{name}.mp4": {"label": label, "split": split, "original": original and f"{original}.mp4"}
        for name, (label, split, original) in videos.items()
    }
    touch(root, *(f"{folder}/{name}" for name in facts))
    (root / folder / "metadata.json").write_text(json.dumps(facts))


def test_dfdc_parts_are_split_by_original(tmp_path: Path) -> None:
    dfdc(tmp_path, "dfdc_train_part_0", a=("FAKE", "train", "b"), b=("REAL", "train", None))
    touch(tmp_path, "dfdc_train_part_0/stray.mp4")
    found = read(tmp_path, "dfdc")
    fake, real = media(found["dfdc_train_part_0/a.mp4"]), media(found["dfdc_train_part_0/b.mp4"])
    assert fake.identities == real.identities == ("dfdc/b.mp4",)
    assert (fake.label, real.label) == (1, 0)
    assert fake.splits == ANY_SPLIT
    assert isinstance(found["dfdc_train_part_0/stray.mp4"], Unusable)


def test_dfdc_splits_are_kept_where_there_are_several(tmp_path: Path) -> None:
    dfdc(tmp_path, "train", a=("FAKE", "train", "b"))
    dfdc(tmp_path, "validation", v=("REAL", "validation", None))
    dfdc(tmp_path, "test", c=("REAL", "test", None), d=("ODD", "test", None), e=("REAL", "odd", None))
    found = read(tmp_path, "dfdc")
    assert media(found["train/a.mp4"]).splits == ("train",)
    assert media(found["validation/v.mp4"]).splits == ("val",)
    assert media(found["test/c.mp4"]).splits == ("test",)
    assert isinstance(found["test/d.mp4"], Unusable)
    assert isinstance(found["test/e.mp4"], Unusable)


def celeb_df(root: Path, lines: str) -> None:
    touch(
        root,
        "Celeb-real/id0_0001.mp4",
        "Celeb-real/id1_0000.mp4",
        "Celeb-synthesis/id0_id1_0001.mp4",
        "YouTube-real/00170.mp4",
    )
    (root / "List_of_testing_videos.txt").write_text(lines)


def test_celeb_df_list_has_no_header_and_1_is_real(tmp_path: Path) -> None:
    celeb_df(
        tmp_path, "1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id0_id1_0001.mp4\n1 Celeb-real/id9_0.mp4\n"
    )
    found = read(tmp_path, "celeb-df-v2")
    fake = media(found["Celeb-synthesis/id0_id1_0001.mp4"])
    assert (fake.label, fake.splits, fake.identities) == (1, ("test",), ("celeb-df/id0", "celeb-df/id1"))
    assert media(found["YouTube-real/00170.mp4"]).splits == ("test",)
    real = media(found["Celeb-real/id0_0001.mp4"])
    assert (real.label, real.splits, real.identities) == (0, NOT_FOR_TEST, ("celeb-df/id0",))
    assert isinstance(found["Celeb-real/id9_0.mp4"], Unusable)


def test_celeb_df_list_that_contradicts_the_folders_is_an_error(tmp_path: Path) -> None:
    celeb_df(tmp_path, "0 YouTube-real/00170.mp4\n")
    with pytest.raises(DataError, match="1 is real"):
        read(tmp_path, "celeb-df-v2")


def test_asvspoof2019(tmp_path: Path) -> None:
    protocols = "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm"
    touch(tmp_path, *(f"{protocols}.{part}.txt" for part in ("train.trn", "dev.trl", "eval.trl")))
    (tmp_path / f"{protocols}.train.trn.txt").write_text(
        "LA_0079 LA_T_1138215 - - bonafide\nLA_0079 LA_T_1271820 - A01 spoof\n"
    )
    (tmp_path / f"{protocols}.dev.trl.txt").write_text("LA_0069 LA_D_1047731 - - bonafide\n")
    (tmp_path / f"{protocols}.eval.trl.txt").write_text("LA_0039 LA_E_2834763 - A11 spoof\n")
    touch(tmp_path, "LA/ASVspoof2019_LA_train/flac/LA_T_1138215.flac")
    touch(tmp_path, "LA/ASVspoof2019_LA_train/flac/LA_T_9.flac")
    found = read(tmp_path, "asvspoof2019-la")
    real = media(found["LA/ASVspoof2019_LA_train/flac/LA_T_1138215.flac"])
    fake = media(found["LA/ASVspoof2019_LA_train/flac/LA_T_1271820.flac"])
    assert (real.label, real.manipulation, real.identities) == (0, "none", ("asvspoof/LA_0079",))
    assert (fake.label, fake.manipulation, fake.splits, fake.modality) == (1, "A01", ("train",), "audio")
    assert media(found["LA/ASVspoof2019_LA_dev/flac/LA_D_1047731.flac"]).splits == ("val",)
    assert media(found["LA/ASVspoof2019_LA_eval/flac/LA_E_2834763.flac"]).splits == ("test",)
    assert isinstance(found["LA/ASVspoof2019_LA_train/flac/LA_T_9.flac"], Unusable)


@pytest.mark.parametrize(
    ("part", "lines"),
    [
        (
            "LA",
            "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval\n"
            "LA_0011 LA_E_1 none - - bonafide trim progress\n",
        ),
        (
            "DF",
            "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -\n"
            "VCC2TM2 DF_E_3 low_mp3 vcc2018 - bonafide notrim eval bonafide - - - -\n",
        ),
    ],
)
def test_asvspoof2021_key_is_in_column_6(tmp_path: Path, part: str, lines: str) -> None:
    touch(tmp_path, f"keys/{part}/CM/trial_metadata.txt", f"ASVspoof2021_{part}_eval/flac/{part}_E_77.flac")
    (tmp_path / f"keys/{part}/CM/trial_metadata.txt").write_text(lines)
    found = read(tmp_path, "asvspoof2021")
    fake, real = [entry for entry in found.values() if isinstance(entry, MediaFile)]
    assert (fake.label, real.label) == (1, 0)
    assert fake.splits == real.splits == ("test",)
    assert (fake.manipulation, fake.compression) in (("A07", "alaw"), ("A14", "nocodec"))
    assert fake.path.parent == tmp_path / f"ASVspoof2021_{part}_eval/flac"
    assert isinstance(found[f"ASVspoof2021_{part}_eval/flac/{part}_E_77.flac"], Unusable)


def test_asvspoof2021_keys_hold_other_trials_too(tmp_path: Path) -> None:
    keys = tmp_path / "LA-keys-full" / "keys"
    touch(keys, "LA/CM/trial_metadata.txt", "LA/ASV/trial_metadata.txt", "PA/CM/trial_metadata.txt")
    (keys / "LA/CM/trial_metadata.txt").write_text("LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval\n")
    (keys / "LA/ASV/trial_metadata.txt").write_text(
        "LA_0007 LA_E_5013670 alaw ita_tx bonafide target notrim eval\n"
    )
    (keys / "PA/CM/trial_metadata.txt").write_text("PA_0010 PA_E_1 R1 M3 d3 r1 m1 s4 c4 spoof notrim eval\n")
    assert [path.rpartition("/")[2] for path in read(tmp_path, "asvspoof2021")] == ["LA_E_9332881.flac"]


@pytest.mark.parametrize("own_folder", ["FakeAVCeleb/", ""])
def test_fakeavceleb_has_ten_columns_the_last_unnamed(tmp_path: Path, own_folder: str) -> None:
    real, fake = (f"{kind}/African/men/id00076" for kind in ("RealVideo-FakeAudio", "FakeVideo-FakeAudio"))
    touch(tmp_path, f"{own_folder}{real}/00109_fake.mp4", f"{own_folder}{fake}/00109_10_id00476_wavtolip.mp4")
    touch(tmp_path, f"{own_folder}{fake}/00109_id00701.mp4")
    (tmp_path / "meta_data.csv").write_text(
        "source,target1,target2,method,category,type,race,gender,path,\n"
        "id00076,-,-,rtvc,B,RealVideo-FakeAudio,African,men,00109_fake.mp4,FakeAVCeleb/" + real + "\n"
        "id00076,id00476,10,wav2lip,D,FakeVideo-FakeAudio,African,men,00109_10_id00476_wavtolip.mp4,"
        "FakeAVCeleb/" + fake + "\n"
        "id00076,id00476,id00701,faceswap,D,FakeVideo-FakeAudio,African,men,00109_id00701.mp4,"
        "FakeAVCeleb/" + fake + "\n"
    )
    found = read(tmp_path, "fakeavceleb")
    assert all(entry.path.is_file() for entry in found.values())
    first, second, third = map(media, found.values())
    assert (first.label, first.manipulation, first.identities) == (0, "none", ("voxceleb2/id00076",))
    assert (second.label, second.manipulation) == (1, "wav2lip")
    assert second.identities == ("voxceleb2/id00076", "voxceleb2/id00476")
    assert third.identities == ("voxceleb2/id00076", "voxceleb2/id00476", "voxceleb2/id00701")


def test_wavefake_utterances_join_vocoders_and_originals(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "LJSpeech-1.1/wavs/LJ001-0001.wav",
        "jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav",
        "generated_audio/ljspeech_melgan/LJ001-0001_gen.wav",
        "generated_audio/ljspeech_hifiGAN/LJ001-0001_generated.wav",
        "generated_audio/ljspeech_waveglow/LJ001-0001.wav",
        "generated_audio/jsut_multi_band_melgan/BASIC5000_0001_gen.wav",
        "generated_audio/common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech/gen_0.wav",
    )
    found = read(tmp_path, "wavefake")
    ids = {name: media(entry).identities for name, entry in found.items()}
    assert len(found) == 7
    assert [name for name in found if ids[name] == ("ljspeech/LJ001-0001",)] == [
        name for name in found if "LJ001" in name
    ]
    assert ids["generated_audio/jsut_multi_band_melgan/BASIC5000_0001_gen.wav"] == ("jsut/BASIC5000_0001",)
    assert media(found["LJSpeech-1.1/wavs/LJ001-0001.wav"]).label == 0
    fake = media(found["generated_audio/ljspeech_melgan/LJ001-0001_gen.wav"])
    assert (fake.label, fake.manipulation, fake.splits) == (1, "melgan", ANY_SPLIT)


def test_an_unknown_layout_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    touch(tmp_path, "photos/a.jpg")
    with pytest.raises(DataError, match=", ".join(DATASETS)):
        find_dataset(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        find_dataset(tmp_path / "photos" / "a.jpg")
