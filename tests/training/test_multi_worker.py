"""Two real processes train one model together, each on its part of every batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.processes import free_port
from training.record import read_record

pytestmark = pytest.mark.timeout(300)


def test_two_workers_train_one_model(noises: Path, tmp_path: Path) -> None:
    command = (
        f"{sys.executable} -m training fit --data-dir {noises} --output-dir {tmp_path / 'models'} "
        "--media-types audio --workers 1 --window-seconds 0.5 --max-windows 1 --batch-size 8 --epochs 2 "
        "--strategy multi-worker"
    )
    addresses = [f"localhost:{free_port()}" for _ in range(2)]
    workers = []
    for index in range(len(addresses)):
        place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(place)}
        worker = subprocess.Popen(
            command.split(), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        workers.append(worker)
    try:
        said = [worker.communicate()[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()  # one that waits for another, which has failed, waits for ever
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)
    assert ["training steps" in text for text in said] == [True, False]
    record = read_record(tmp_path / "models", "audio")
    assert record.settings["strategy"] == "multi-worker"
    assert len(record.metrics["epochs"]["val_auc"]) == 2
    assert sorted(file.name for file in (tmp_path / "models").glob("*.keras")) == [
        "audio_model_best.keras",
        "audio_model_final.keras",
    ]
