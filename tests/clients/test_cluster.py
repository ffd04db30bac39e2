"""Batch scoring on a Ray cluster of real processes."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.aws import use_credentials
from tests.clients.records import records
from tests.media import photo_jpeg
from tests.ray_cluster import kill_one, ray_cluster, workers

pytest.importorskip("ray.data")

from typer.testing import CliRunner

from clients import cluster
from clients.batch import find_media
from clients.output import opened
from clients.predictions import Prediction
from clients.s3 import S3

ACTOR = "MapWorker(MapBatches(Scorer))"
PHOTO = photo_jpeg(64, 64)


@pytest.fixture(scope="module")
def pool(models: Path) -> Iterator[cluster.Pool]:
    with pytest.MonkeyPatch.context() as patch:
        use_credentials(patch)
        with ray_cluster():
            yield cluster.Pool(actors=2, models=models)


def test_an_actor_that_is_killed_loses_nothing(pool: cluster.Pool, tmp_path: Path) -> None:
    names = [str(tmp_path / f"{number}.jpg") for number in range(400)]
    for name in names:
        Path(name).write_bytes(PHOTO)
    predictions = cluster.score(names, pool, S3())
    first = next(predictions)
    before = {process.pid for process in workers(ACTOR)}
    kill_one(ACTOR)
    judged = [first, *predictions]
    assert len(before) == 2
    assert sorted(one.path for one in judged) == sorted(names)
    assert {(one.fake_probability, one.error_code) for one in judged} == {(first.fake_probability, None)}


def test_an_s3_prefix_becomes_a_file(pool: cluster.Pool, endpoint: str, tmp_path: Path) -> None:
    output = tmp_path / "predictions.csv"
    s3 = boto3.client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket="media")
    for key in ("in/a.jpg", "in/b c.jpg", "out/other.jpg"):
        s3.put_object(Bucket="media", Key=key, Body=PHOTO)
    s3.put_object(Bucket="media", Key="in/broken.jpg", Body=b"no picture")
    names = find_media(["s3://media/in/"], S3(endpoint=endpoint))
    with opened(output, resume=False) as out:
        for one in cluster.score(names, pool, S3(endpoint=endpoint)):
            out.write(one)
    assert {record["path"]: record["error_code"] for record in records(output)} == {
        "s3://media/in/a.jpg": "",
        "s3://media/in/b%20c.jpg": "",
        "s3://media/in/broken.jpg": "UNSUPPORTED_MEDIA",
    }


def test_relative_paths_are_those_of_the_caller(
    pool: cluster.Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(PHOTO)
    monkeypatch.chdir(tmp_path)
    names = ["a.jpg", "./a.jpg", str(tmp_path / "a.jpg")]
    judged = {one.path: one.error_code for one in cluster.score(names, pool, S3())}
    assert judged == dict.fromkeys(names)


def test_the_command_goes_on_with_what_has_no_verdict_and_counts_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def score(names: list[str], *_: object) -> Iterator[Prediction]:
        asked.append(names)
        yield from (Prediction(name, verdict="REAL" if name == "a.jpg" else None) for name in names)

    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr(cluster, "score", score)
    command = ["a.jpg", "b.jpg", "--output", str(tmp_path / "predictions.csv"), "--resume"]
    for told, names in (
        ("1 judged, 1 failed, 0 skipped", ["a.jpg", "b.jpg"]),
        ("0 judged, 1 failed, 1 skipped", ["b.jpg"]),
    ):
        result = CliRunner().invoke(cluster.app, command)
        assert (result.exit_code, asked.pop()) == (1, names)
        assert told in result.output


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    command = [str(tmp_path / "a.jpg"), "--output", str(tmp_path / "predictions.csv")]
    result = CliRunner().invoke(cluster.app, command)
    assert result.exit_code == 1
    assert "deepfake-detector[ray]" in result.output
