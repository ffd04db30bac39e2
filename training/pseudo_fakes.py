"""Training with real media only: fakes made of real files' rows, each in its source's group and split."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
from threadpoolctl import threadpool_limits

from training.ahead import begun_ahead
from training.decode import FileRows, Rejected
from training.forgery.rows import forge_rows
from training.sample import Sample, Split
from training.settings import FitSettings, Modality

_AHEAD_PER_WORKER = 4


def splits_to_forge(samples: Iterable[Sample]) -> set[Split]:
    """Training, and validation if it has no fake of its own; never the files that are measured on."""
    validated = any(sample.split == "val" and sample.label for sample in samples)
    return {"train"} if validated else {"train", "val"}


def with_pseudo_fakes(
    files: Iterable[FileRows | Rejected],
    modality: Modality,
    settings: FitSettings,
    splits: Collection[Split],
    workers: int,
) -> Iterator[FileRows | Rejected]:
    """All files in their order, after each real one of these splits `settings.pseudo_fakes` forgeries of it.

    What is forged depends on the bytes of the source and the seed alone. The rows of a fake went
    through the same decoder as those of its source: nothing but the forgery tells them apart.
    """
    if not settings.pseudo_fakes:
        yield from files
        return

    def begun() -> Iterator[tuple[FileRows | Rejected, list[Future[FileRows]]]]:
        for file in files:
            forged: list[Future[FileRows]] = []
            if isinstance(file, FileRows) and not file.sample.label and file.sample.split in splits:
                versions = range(settings.pseudo_fakes)
                forged = [pool.submit(_forged, file, modality, settings, version) for version in versions]
            yield file, forged

    # Not forked: the parent holds TensorFlow's threads. Sums over several threads round differently.
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=threadpool_limits, initargs=(1, "blas")
    ) as pool:
        for file, forged in begun_ahead(begun(), _AHEAD_PER_WORKER * workers):
            yield file
            for future in forged:
                yield future.result()


def _forged(file: FileRows, modality: Modality, settings: FitSettings, version: int) -> FileRows:
    origin = f"{file.content_hash} {settings.seed} {version}"
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(origin.encode()).digest()))
    name, values = forge_rows(rng, file.values, modality, settings.sample_rate)
    sample = replace(
        file.sample,
        path=f"{file.sample.path}#{version}",
        label=1,
        manipulation=f"pseudo/{name}",
        content_hash="",
    )
    return FileRows(sample, values, [1] * len(values), origin)
