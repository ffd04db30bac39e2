"""Two devices train one model. In a process of its own, whose CPU is parted before it computes anything."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

ON_ONE_AND_TWO = """
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from training.batches import validation_batches
from tests.training.image_table import image_table
from tests.training.test_fit import SETTINGS, _fit, _untouched, _weights

table = image_table()
cells = np.where(table.labels[:, None, None] == 1, 254, 0) * np.ones((1, 2, 2))
masked = replace(table, cells=cells.astype(np.uint8))


def with_heatmap():
    model = _untouched()
    means = keras.layers.AveragePooling2D(16)(keras.layers.Rescaling(1 / 255)(model.input))
    heatmap = keras.layers.Reshape((2, 2))(keras.layers.Dense(1)(means))
    return keras.Model(model.input, {**model.output, "heatmap": heatmap})


found = []
for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
    strategy = tf.distribute.MirroredStrategy(devices)
    assert strategy.num_replicas_in_sync == len(devices)
    folder = Path(sys.argv[1]) / str(len(devices))
    # Nine rows are one more than a batch: the second of two devices would get none of it.
    folder.mkdir(parents=True)
    batches = validation_batches(table, np.arange(9), 8, strategy)
    shares = [len(part) for rows, _ in batches for part in strategy.experimental_local_results(rows)]
    assert sum(shares) == 9 and min(shares) > 0, shares
    found.append(
        [
            _fit(folder / "labels", SETTINGS, table, build=_untouched, strategy=strategy),
            _fit(folder / "cells", SETTINGS, masked, build=with_heatmap, strategy=strategy),
        ]
    )
for one, two in zip(*found, strict=True):
    for name in one.history:
        np.testing.assert_allclose(two.history[name], one.history[name], rtol=1e-3, err_msg=name)
    for mine, theirs in zip(_weights(two.model), _weights(one.model), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
"""


def test_two_devices_learn_what_one_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ON_ONE_AND_TWO, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
