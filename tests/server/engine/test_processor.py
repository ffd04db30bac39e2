import platform
from pathlib import Path

import pytest

from server.engine import processor


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("flags\t: fpu avx2 avx512_vnni\nflags\t: fpu\n", ["avx512_vnni"]),
        ("Features\t: fp i8mm asimddp\n", ["asimddp", "i8mm"]),
        ("model name\t: avx_vnni\n", []),
        (None, []),
    ],
)
def test_what_the_kernel_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str | None, found: list[str]
) -> None:
    file = tmp_path / "cpuinfo"
    if told is not None:
        file.write_text(told)
    monkeypatch.setattr(processor, "_CPUINFO", file)
    assert processor.features() == (platform.machine(), *found)
