import onnxruntime
import pytest

from server.engine import providers
from server.engine.providers import candidates


def test_cuda_gets_the_libraries_that_pip_installed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    loads = []

    def load() -> None:
        loads.append(1)
        print("Failed to load libcudnn.so.9")  # as ONNX Runtime does

    providers._load_cuda.cache_clear()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: list(providers._NAMES.values()))
    monkeypatch.setattr(onnxruntime, "preload_dlls", load)
    with caplog.at_level("INFO"):
        assert candidates("cpu")[0].on_cpu
        assert not loads
        assert [each.fixed_shapes for each in candidates("auto")] == [True, False, False]
        assert candidates("cuda")[0].name == "CUDAExecutionProvider"
    assert loads == [1]
    assert "libcudnn" in caplog.text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("version", "accepts"), [("1.16.3", False), ("1.17.0", True), ("2.0.0", True)])
def test_runs_of_nothing_are_kept_from_old_runtimes(
    monkeypatch: pytest.MonkeyPatch, version: str, accepts: bool
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", version)
    assert candidates("cpu")[0].accepts_empty is accepts


def test_coreml_gets_no_runs_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CoreMLExecutionProvider"])
    assert not candidates("coreml")[0].accepts_empty
