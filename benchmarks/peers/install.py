"""Makes the virtual environments of peers."""

import shutil
import subprocess
from pathlib import Path

from benchmarks.peers.catalogue import ENVIRONMENTS, PEERS, handler_requirements


def environments() -> dict[str, tuple[str, ...]]:
    """The requirements of each, without those that all have."""
    return {peer.environment: peer.requirements for peer in PEERS if peer.environment}


def install(name: str, python: str) -> str:
    """Makes one anew; what pip said is in a file beside it. Gives what went wrong, empty if nothing did."""
    if name not in environments():
        return f"there are only {', '.join(environments())}"
    if shutil.which(python) is None:
        return f"there is no {python}; name another --python"
    folder = ENVIRONMENTS / name
    log = Path(f"{folder}.log")
    folder.parent.mkdir(parents=True, exist_ok=True)
    requirements = [*handler_requirements(), *environments()[name]]
    steps = [
        [python, "-m", "venv", "--clear", str(folder)],
        [str(folder / "bin" / "python"), "-m", "pip", "install", *requirements],
    ]
    with log.open("w") as output:
        for step in steps:
            if subprocess.run(step, check=False, stdout=output, stderr=output).returncode:
                return f"failed, see {log}"
    return ""
