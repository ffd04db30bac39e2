"""Rows of pictures to train on, without files."""

import numpy as np

from training.rows import RowTable
from training.sample import Sample, Split


def image_table(count: int = 32, size: int = 32, visible: bool = True) -> RowTable:
    """One row per file; fakes are noisier."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    values = random.normal(128, 1, (count, size, size, 3))
    values += random.normal(0, 1, values.shape) * (20 * labels * visible)[:, None, None, None]
    shares: dict[Split, int] = {"train": count // 2, "val": count // 4, "test": count // 4}
    splits = [split for split, share in shares.items() for _ in range(share)]
    return RowTable(
        values=np.clip(values, 0, 255).astype(np.uint8),
        labels=labels.astype(np.int8),
        starts=np.arange(count + 1),
        samples=[
            Sample(f"{index}.png", "image", int(labels[index]), split, f"g{index // 2}")
            for index, split in enumerate(splits)
        ],
        rejected=[],
        data_hash="",
    )
