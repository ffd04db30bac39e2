"""The committed stubs are those that `make proto` generates."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor import Descriptor

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


@pytest.mark.parametrize(
    ("package", "stub", "compiled"),
    [
        ("protobuf", "detector_pb2.py", r"Protobuf Python Version: ([\d.]+)"),
        ("grpcio", "detector_pb2_grpc.py", r"GRPC_GENERATED_VERSION = '([\d.]+)'"),
    ],
)
def test_the_oldest_package_that_may_be_installed_loads_the_stubs(
    package: str, stub: str, compiled: str
) -> None:
    """Which refuse an older runtime than that of the compiler that wrote them."""
    project = tomllib.loads((PROTO.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = re.findall(compiled, (PROTO / "gen/deepfake/v1" / stub).read_text(encoding="utf-8"))
    allowed = [line for line in project["dependencies"] if line.startswith(f"{package}>")]
    assert [line.split(",")[0] for line in allowed] == [f"{package}>={version}" for version in needed]


@pytest.mark.parametrize("proto", ["deepfake/v1/detector.proto", "open_inference/v2/inference.proto"])
def test_every_field_of_the_contract_is_documented(proto: str) -> None:
    undocumented = []
    before = ""
    for line in (PROTO / proto).read_text(encoding="utf-8").splitlines():
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


def test_the_open_inference_messages_are_those_of_tritons_own_client() -> None:
    """Also that both can be loaded into one process."""
    from tritonclient.grpc import model_config_pb2, service_pb2

    from open_inference.v2 import inference_pb2

    files = (service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)
    theirs = {name: message for file in files for name, message in file.message_types_by_name.items()}
    for name, ours in inference_pb2.DESCRIPTOR.message_types_by_name.items():
        assert fields(ours).items() <= fields(theirs[name]).items()


def fields(message: Descriptor) -> dict[str, tuple[int, int, bool]]:
    """Number, type and repetition by name, nested messages included."""
    own = {field.full_name: (field.number, field.type, field.is_repeated) for field in message.fields}
    for nested in message.nested_types:
        own |= fields(nested)
    return own
