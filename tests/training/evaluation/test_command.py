import json
from pathlib import Path

import pytest
from PIL import Image

from tests import media
from tests.certificates import Authority
from tests.running_server import running_server
from training.__main__ import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for label in ("real", "fake"):
        (folder / label / "images").mkdir(parents=True)
        for number in range(2):
            photo = media.photo_jpeg(64 + number, 48 if label == "real" else 40)
            (folder / label / "images" / f"{number}.jpg").write_bytes(photo)
    return folder


def evaluating(data: Path, effort: int = 0) -> list[str]:
    """The command that measures all files of a folder."""
    return f"evaluate --data-dir {data} --split all --workers 1 --effort {effort}".split()


def test_a_server_that_asks_for_a_certificate_is_measured(
    models: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(tmp_path, "authority")
    pair, own = authority.issue("server"), authority.issue("client")
    command = evaluating(data)
    folders = ["--models", str(tmp_path / "results"), "--report-dir", str(tmp_path / "reports")]
    with running_server(
        models, tls_certificate=pair.cert, tls_key=pair.key, tls_client_ca=authority.pem
    ) as server:
        command += [*folders, "--server", server.address, "--ca", str(authority.pem)]
        assert main([*command, "--cert", str(own.cert), "--key", str(own.key)]) == 0
        # Without a folder of their own, results are where the models are.
        assert (tmp_path / "results" / "model_evaluation_results.json").is_file()
        assert main([*command, "--cert", str(own.cert)]) == 1
    assert "one needs the other" in capsys.readouterr().out


def test_videos_listed_for_their_sound_are_measured(models: Path, tmp_path: Path) -> None:
    rows = ["path,modality,label,split,group"]
    for number in range(4):
        (tmp_path / f"{number}.mp4").write_bytes(media.video_mp4(1 + number / 4))
        # One file to a detector, however often it is listed.
        rows += [f"{number}.mp4,{kind},{number % 2},test,{number}" for kind in ("audio", "video")]
    (tmp_path / "corpus.csv").write_text("\n".join(rows))
    with running_server(models) as server:
        command = [*evaluating(tmp_path, effort=9), "--server", server.address]
        assert main([*command, "--output-dir", str(tmp_path), "--report-dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "model_evaluation_results.json").read_text())
    assert (results["files"], results["failed"]) == (4, {})
    assert [effort["files"] for effort in results["effort"]] == [4]


def test_thresholds_are_chosen_on_the_validation_split(models: Path, data: Path, tmp_path: Path) -> None:
    rows = ["path,modality,label,split,group"]
    for number, split in enumerate(("val", "test")):
        rows += [
            f"{name}/images/{number}.jpg,image,{label},{split},{number}"
            for label, name in enumerate(("real", "fake"))
        ]
    (data / "corpus.csv").write_text("\n".join(rows))
    with running_server(models) as server:
        command = ["evaluate", "--data-dir", str(data), "--effort", "0", "--server", server.address]
        assert main([*command, "--output-dir", str(tmp_path), "--report-dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "model_evaluation_results.json").read_text())
    assert (results["files"], results["operations"][0]["chosen_on"]) == (2, "validation")


@pytest.mark.parametrize("gone", ["gone.png", "longer-than-names-can-be" * 20])
def test_photos_whose_mask_is_broken_or_gone_are_left_out(
    models: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], gone: str
) -> None:
    Image.new("L", (96, 48)).save(data / "mask.bmp")
    (data / "mask.bmp").write_bytes((data / "mask.bmp").read_bytes()[:-1000])
    rows = ["path,modality,label,split,group,mask", "real/images/0.jpg,image,0,test,0,"]
    rows += ["real/images/1.jpg,image,0,test,1,", f"fake/images/1.jpg,image,1,test,3,{gone}"]
    rows += ["fake/images/0.jpg,image,1,test,2,mask.bmp"]
    (data / "corpus.csv").write_text("\n".join(rows))
    with running_server(models) as server:
        command = [*evaluating(data, effort=4), "--server", server.address]
        assert main([*command, "--output-dir", str(tmp_path), "--report-dir", str(tmp_path)]) == 0
    assert "2 files could not be judged" in capsys.readouterr().out
    results = json.loads((tmp_path / "model_evaluation_results.json").read_text())
    assert results["files"] == 4
    assert {Path(path).parent.parent.name for path in results["failed"]} == {"fake"}
    assert all(reason.startswith("MASK: ") for reason in results["failed"].values())


def test_a_folder_without_any_of_its_masks_is_refused(
    models: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["path,modality,label,split,group,mask", "real/images/0.jpg,image,0,test,0,"]
    rows += [f"fake/images/{number}.jpg,image,1,test,{number + 1},gone/{number}.png" for number in range(2)]
    (data / "corpus.csv").write_text("\n".join(rows))
    with running_server(models) as server:
        command = [*evaluating(data), "--server", server.address]
        assert main([*command, "--output-dir", str(tmp_path), "--report-dir", str(tmp_path)]) == 1
    printed = "".join(capsys.readouterr().out.split())
    assert f"nomaskthat{data}listsisthere:{data}/gone/0.png" in printed


def test_where_the_server_is_the_environment_says_as_to_clients(
    models: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = evaluating(data)
    folders = ["--output-dir", str(tmp_path / "results"), "--report-dir", str(tmp_path / "reports")]
    with running_server(models) as server:
        command += [*folders, "--server", server.address]
        for name in ("CA", "CERT", "KEY", "TLS"):
            monkeypatch.setenv(f"DETECTOR_{name}", "")
        assert main(command) == 0
        monkeypatch.setenv("DETECTOR_TLS", "true")
        assert main(command) == 1  # it speaks plain text


@pytest.mark.parametrize(
    "argument", ["--false-positive-rates=5", "--max-samples=-1", "--effort=-1", "--robustness=-1"]
)
def test_numbers_that_mean_nothing_are_refused(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--data-dir", "data", argument])
    assert "is needed" in capsys.readouterr().err


def test_speaker_verification_scores_are_read_before_anything_is_judged(
    models: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = evaluating(data, effort=1)
    (tmp_path / "asv.txt").write_bytes(b"\xff no scores")
    (data / "real" / "images" / "broken.jpg").write_bytes(b"")
    command += ["--output-dir", str(tmp_path), "--asv-scores", str(tmp_path / "asv.txt")]
    with running_server(models) as server:
        assert main([*command, "--server", server.address]) == 1
    said = capsys.readouterr().out
    assert "not KEY SCORE" in said
    assert "could not be judged" not in said


def test_results_that_could_not_be_written_are_not_measured_first(
    models: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = evaluating(data)
    file = tmp_path / "file"
    file.touch()
    with running_server(models) as server:
        assert main([*command, "--server", server.address, "--output-dir", str(file / "results")]) == 1
    said = capsys.readouterr().out
    assert "Not a directory" in said
    assert "bootstrap" not in said
