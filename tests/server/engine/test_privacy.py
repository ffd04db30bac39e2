"""ONNX Runtime tells nobody about its use."""

import subprocess
import sys
from pathlib import Path

LOAD = "from server.engine.session import ort; ort.InferenceSession('server/bundled/demo/1/model.onnx')"


def test_no_identity_is_kept_for_reports(tmp_path: Path) -> None:
    places = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    root = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-c", LOAD], check=True, cwd=root, env=dict.fromkeys(places, str(tmp_path))
    )
    assert list(tmp_path.rglob("*")) == []
