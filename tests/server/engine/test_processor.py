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


def test_the_name_is_the_first_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Some CPU: fast\n\nmodel name\t: Other\n")
    monkeypatch.setattr(processor, "_CPUINFO", file)
    assert processor.name() == "Some CPU: fast"
    file.unlink()
    assert processor.name() == platform.processor()
