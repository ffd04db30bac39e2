"""The files under deploy/ name only what exists: settings, flags, extras, metrics, modules."""

import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from server import errors
from server.configuration import ENV_PREFIX
from server.jobs.settings import JobSettings
from server.settings import Settings
from tests.media import photo_jpeg
from tests.media_requests import detect_request
from tests.metrics import samples
from tests.running_server import running_server, stub_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
DASHBOARD = json.loads((DEPLOY / "grafana/dashboard.json").read_text(encoding="utf-8"))
COMPOSE = DEPLOY / "compose.yaml"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
YAML = [path for path in FILES if path.suffix in {".yaml", ".yml"}]


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", YAML, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_yaml_holds_tables(path: Path) -> None:
    assert all(isinstance(document, dict) for document in documents(path))


def variables(text: str) -> set[str]:
    return {name.lower() for name in re.findall(rf"{ENV_PREFIX}([A-Z_0-9]+)", text)}


@pytest.mark.parametrize("path", [path for path in FILES if path != COMPOSE], ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    assert variables(path.read_text(encoding="utf-8")) <= set(Settings.model_fields)


def test_every_variable_of_compose_is_a_setting_of_its_service() -> None:
    services = documents(COMPOSE)[0]["services"]
    assert variables(str(services["server"])) <= set(Settings.model_fields)
    assert variables(str(services["jobs"])) <= set(JobSettings.model_fields)


def test_the_values_in_kubernetes_make_sense(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    base, tls = (
        documents(DEPLOY / "kubernetes" / part / "configmap.yaml")[0]["data"] for part in ("base", "tls")
    )
    for name, value in (base | tls).items():
        # The files are not here, and the settings ask for them.
        monkeypatch.setenv(name, str(_empty(tmp_path / name)) if value.startswith("/etc/") else value)
    assert Settings().profile == "production"


def _empty(path: Path) -> Path:
    path.touch()
    return path


def test_every_flag_of_the_server_is_a_setting() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    commands = re.findall(r'\["-m", "server"([^\]]*)\]', text)
    flags = {flag for command in commands for flag in re.findall(r"--([a-z-]+)", command)}
    assert flags
    assert flags <= {name.replace("_", "-") for name in Settings.model_fields}


def test_the_image_is_installed_as_the_readme_says() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (serve,) = re.findall(r"<!-- serve -->\n```sh\n(.*) && (?:.*)\n```", readme)
    (install,) = re.findall(r"/pip (install .*)$", DOCKERFILE, re.MULTILINE)
    in_image = [word for word in shlex.split(install) if word != "--no-cache-dir"]
    in_readme = [word for word in shlex.split(serve)[1:] if word != "-e"]
    assert [word.replace("${RUNTIME}", "cpu") for word in in_image] == in_readme
    assert "ARG RUNTIME=cpu" in DOCKERFILE


def test_the_build_gets_every_package() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = pyproject["tool"]["setuptools"]["packages"]["find"]["include"]
    folders = {name.removesuffix("*") for name in packages}
    # Its stubs are in proto/gen.
    moved = {"deepfake", "open_inference"}
    assert (folders - moved) | {"proto"} <= sent
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= sent


def test_ports_agree() -> None:
    port = str(Settings.model_fields["port"].default)
    metrics = re.search(r"DEEPFAKE_METRICS_PORT=(\d+)", DOCKERFILE)
    assert metrics
    assert f"EXPOSE {port} {metrics[1]}" in DOCKERFILE
    (pod,) = documents(DEPLOY / "kubernetes/base/deployment.yaml")
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    assert {str(one["containerPort"]) for one in container["ports"]} == {port, metrics[1]}
    (prometheus,) = documents(DEPLOY / "prometheus/prometheus.yml")
    (scraped,) = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    assert scraped.endswith(f":{metrics[1]}")


def test_what_ray_serve_imports_exists() -> None:
    pytest.importorskip("ray")
    from ray.serve.schema import ServeDeploySchema

    from server.cluster.serve import app, deployment

    (config,) = documents(DEPLOY / "ray/serve.yaml")
    parsed = ServeDeploySchema.model_validate(config)
    for name in parsed.grpc_options.grpc_servicer_functions:
        module, function = name.rsplit(".", 1)
        assert callable(getattr(importlib.import_module(module), function))
    (application,) = parsed.applications
    assert application.import_path == f"{app.__module__}:{app.__name__}"
    assert application.deployments[0].name == deployment(Settings.model_validate(application.args)).name


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in DASHBOARD["templating"]["list"]:
        yield variable["query"]["query"].removeprefix("label_values(").split(",")[0]
    for group in documents(DEPLOY / "prometheus/alerts.yml")[0]["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_every_query_parses() -> None:
    for expression in expressions():
        promql_parser.parse(expression.replace("$__rate_interval", "5m"))


def test_every_metric_is_in_the_servers_answer(models: Path) -> None:
    with running_server(models, metrics_port=0) as server, stub_of(server) as stub:
        stub.Detect(detect_request(photo_jpeg(64, 48)), timeout=30)
        with pytest.raises(Exception, match="unknown format"):
            stub.Detect(detect_request(b"none"), timeout=30)
        there = {sample.name for sample in samples(server.metrics_port)}
    asked = {name for text in expressions() for name in re.findall(r"\b(?:deepfake|process)_\w+", text)}
    assert asked
    assert asked <= there


def test_no_query_sees_one_way_to_send_media_only() -> None:
    assert not [text for text in expressions() if re.search(r'method="', text)]


def test_alerts_about_processes_watch_servers_and_workers() -> None:
    text = (DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8")
    (prometheus,) = documents(DEPLOY / "prometheus/prometheus.yml")
    scraped = "|".join(one["job_name"] for one in prometheus["scrape_configs"])
    assert set(re.findall(r"\bjob=(\S+?)}", text)) == {f'~"{scraped}"'}


def test_every_reason_in_the_alerts_is_a_code() -> None:
    text = (DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8")
    named = {code for codes in re.findall(r'reason=~?"([A-Z_|]+)"', text) for code in codes.split("|")}
    codes = set(re.findall(r"\b[A-Z_]{5,}\b", errors.__doc__ or ""))
    assert named
    assert named <= codes


def test_shares_of_requests_are_of_those_that_may_be_refused() -> None:
    text = (DEPLOY / "prometheus/alerts.yml").read_text(encoding="utf-8")
    counted = set(re.findall(r"deepfake_requests_total(.*?)\[", text))
    assert counted == {'{method!="GetModel"}'}
