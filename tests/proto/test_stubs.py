"""The committed stubs are those that `make proto` generates."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

PROTO = Path(__file__).parents[2] / "proto"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", PROTO / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.suffix in {".py", ".pyi"}
    }


def test_the_stubs_are_fresh(tmp_path: Path) -> None:
    generator().generate(tmp_path)
    assert contents(tmp_path) == contents(PROTO / "gen"), "run: make proto"


def test_every_field_of_the_contract_is_documented() -> None:
    undocumented = []
    before = ""
    for line in (PROTO / "deepfake/v1/detector.proto").read_text(encoding="utf-8").splitlines():
        text = line.strip()
        # One comment may speak for the fields that follow without an empty line.
        if re.fullmatch(r".+ = \d+;", text) and not before.startswith("//") and not before.endswith(";"):
            undocumented.append(text)
        before = text
    assert undocumented == []


@pytest.mark.parametrize("method", ["Detect", "DetectStream", "DetectUpload", "GetModel"])
def test_the_service_has(method: str) -> None:
    from deepfake.v1 import detector_pb2

    assert method in detector_pb2.DESCRIPTOR.services_by_name["Detector"].methods_by_name
