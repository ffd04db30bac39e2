"""Where a prepared file lies: where it was, or linked or copied into the data folder."""

import os
import shutil
from pathlib import Path

from training.datasets.plain import LABEL_FOLDERS, MODALITY_FOLDERS, PLAIN
from training.prepare.journal import ListedFile
from training.prepare.settings import Place

_LABELS = {label: name for name, label in LABEL_FOLDERS.items()}
_MODALITIES = {modality: name for name, modality in MODALITY_FOLDERS.items()}


def place_file(file: ListedFile, output: Path, place: Place) -> str:
    """Puts the file there, unless it is there already; gives its path as the CSVs state it.

    A link is a hard link, or a symbolic one to another file system. In the data folder files lie in
    {real,fake}/{images,videos,audio}/<data set>/<name>.
    """
    source = Path(file.path)
    if place == "reference":
        return (source.relative_to(output) if source.is_relative_to(output) else source).as_posix()
    inside = Path(_LABELS[file.label], _MODALITIES[file.modality], file.dataset, file.name)
    # Its names begin with these folders already.
    relative = Path(file.name) if file.dataset == PLAIN.name else inside
    target = output / relative
    stale = place == "copy" and target.is_symlink()  # of an earlier --place link
    if target != source and (stale or not _is_there(target, file)):
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.part")
        part.unlink(missing_ok=True)
        (_link if place == "link" else shutil.copy2)(source, part)
        part.replace(target)  # a kill leaves no half of a file
    return relative.as_posix()


def _is_there(target: Path, file: ListedFile) -> bool:
    try:
        status = target.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        target.symlink_to(source)
