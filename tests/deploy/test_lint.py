"""The linters of the formats under deploy/; each is a tool of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
BIN = Path(sys.executable).parent


def passes(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile() -> None:
    passes(BIN / "hadolint", DEPLOY / "Dockerfile")


def test_the_compose_file() -> None:
    passes(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")


BASE = DEPLOY / "kubernetes/base"
MANIFESTS = [path for path in sorted(BASE.glob("*.yaml")) if path.stem != "kustomization"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_kubernetes(path: Path) -> None:
    passes(BIN / "kubernetes-validate", "--strict", path)


def test_kustomize_takes_every_manifest() -> None:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(listed["resources"]) == {path.name for path in MANIFESTS}


def test_kustomize_names_the_image_of_the_pods() -> None:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text(encoding="utf-8"))
    pod = yaml.safe_load((BASE / "deployment.yaml").read_text(encoding="utf-8"))["spec"]["template"]
    assert [one["name"] for one in listed["images"]] == [one["image"] for one in pod["spec"]["containers"]]
