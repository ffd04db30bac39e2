"""Notices that files were replaced."""

from pathlib import Path


class Watched:
    """Some files; a link that is switched to another file, as Kubernetes does, is a change too."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen = self._signatures()

    def changed(self) -> bool:
        """Whether any file is another than at the last call, or at the start."""
        before, self._seen = self._seen, self._signatures()
        return self._seen != before

    def _signatures(self) -> list[tuple[int, ...]]:
        return [_signature(path) for path in self._paths]


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    # Who may read it, too: a file that could not be read may be given to us later. The time of that change
    # alone would not tell, as most file systems keep it in steps of milliseconds.
    given = (status.st_mode, status.st_uid, status.st_gid, status.st_ctime_ns)
    return (status.st_ino, status.st_mtime_ns, status.st_size, *given)
