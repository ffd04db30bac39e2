import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsError

from server.configuration import PROFILES, load
from server.settings import Settings


def test_precedence_is_flag_environment_file_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "server.toml"
    file.write_text('port = 1\nhost = "::1"\nmax_queue_size = 7\n')
    monkeypatch.setenv("DEEPFAKE_PORT", "2")
    monkeypatch.setenv("DEEPFAKE_HOST", "127.0.0.2")
    settings = load(["--config", str(file), "--port", "3"], Settings)
    assert (settings.port, settings.host, settings.max_queue_size) == (3, "127.0.0.2", 7)
    assert settings.max_batch_size == Settings().max_batch_size


def test_values_given_in_code_beat_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPFAKE_PORT", "2")
    assert Settings(port=0).port == 0


def test_the_file_may_be_json_and_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "server.json"
    file.write_text('{"decode_workers": 3, "file_roots": ["/srv"]}')
    monkeypatch.setenv("DEEPFAKE_CONFIG", str(file))
    settings = load([], Settings)
    assert settings.decode_workers == 3
    assert settings.file_roots == (Path("/srv"),)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 1", "prot"),
        ("port = 99999", "port"),
        ('provider = "tpu"', "provider"),
        ("port = ", "server.toml"),
    ],
)
def test_mistakes_in_the_file_name_the_key(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=named):
        load(["--config", str(file)], Settings)


def test_an_unknown_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPFAKE_PROT", "1")
    with pytest.raises(SettingsError, match="DEEPFAKE_PROT"):
        load([], Settings)


@pytest.mark.parametrize("value", ["uploads", "uploads,archive", "[not json", '"uploads"', ""])
def test_a_list_in_the_environment_that_is_no_json_says_how_it_is_written(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFAKE_S3_BUCKETS", value)
    with pytest.raises(SettingsError, match=r'DEEPFAKE_S3_BUCKETS must be a JSON list, as \["one"'):
        load([], Settings)


def test_null_is_no_value_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"metrics_port": 9464, "tokens": null}')
    assert load(["--config", str(file), "--metrics-port", "null"], Settings).metrics_port is None
    monkeypatch.setenv("DEEPFAKE_METRICS_PORT", "null")
    settings = load(["--config", str(file)], Settings)
    assert settings.metrics_port is None
    assert settings.tokens is None


def test_an_impossible_flag_is_named_and_its_key_too() -> None:
    with pytest.raises(SettingsError, match=r"^max_queue_size \(--max-queue-size\): .* greater"):
        load(["--max-queue-size", "0"], Settings)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_changes_defaults_and_loses_against_everything_else(
    profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {name: getattr(load(["--profile", profile], Settings), name) for name in PROFILES[profile]}
    assert changed == PROFILES[profile]
    file = tmp_path / "server.toml"
    file.write_text(f'profile = "{profile}"\nhost = "127.0.0.9"\nport = 9')
    monkeypatch.setenv("DEEPFAKE_LOG_LEVEL", "error")
    settings = load(["--config", str(file), "--log-format", "console"], Settings)
    assert (settings.host, settings.port) == ("127.0.0.9", 9)
    assert (settings.log_level, settings.log_format) == ("error", "console")


def test_a_profile_given_in_code_counts() -> None:
    assert Settings(profile="production").log_format == "json"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PROFILE", "staging"), ("PORT", "many"), ("LOG_LEVEL", "loud"), ("SAMPLING_SECRET", "")],
)
def test_impossible_variables_name_the_key(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"DEEPFAKE_{variable}", value)
    with pytest.raises(SettingsError, match=variable.lower()):
        load([], Settings)


@pytest.mark.parametrize("flags", [["--prt", "1"], ["--por", "1"], ["--port", "many"]])
def test_unknown_and_impossible_flags_are_named(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SettingsError, SystemExit)) as caught:
        load(flags, Settings)
    assert flags[0].strip("-") in str(caught.value) + capsys.readouterr().err


def test_printed_settings_hold_no_credentials() -> None:
    flags = ["--s3-endpoint", "http://user:password@store:9000/?token=abc"]
    printed = subprocess.run(
        [sys.executable, "-m", "server", "--print-config", *flags], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed)["s3_endpoint"] == "http://store:9000/"


def test_what_is_printed_may_be_kept_but_for_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(*flags: str) -> list[str]:
        file = tmp_path / "kept.json"
        command = [sys.executable, "-m", "server", "--print-config", *flags]
        file.write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        return ["--config", str(file)]

    assert load(kept("--port", "7", "--file-roots", "/srv"), Settings).port == 7
    flags = kept("--sampling-secret", "real")
    with pytest.raises(SettingsError, match=r"sampling_secret .*: is the"):
        load(flags, Settings)
    monkeypatch.setenv("DEEPFAKE_SAMPLING_SECRET", "real")
    assert load(flags, Settings).sampling_secret == SecretStr("real")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_settings_come_whole_through_json() -> None:
    settings = Settings(cache_seconds=math.inf)
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_values_of_a_list_are_taken_as_they_are() -> None:
    roots = ["/srv/media,2024", "/srv/[a]", '/srv/"b"', "/srv/c d"]
    flags = [flag for root in roots for flag in ("--file-roots", root)]
    buckets = ["--s3-buckets", "true", "--s3-buckets", "12"]
    settings = load([*flags, *buckets, "--https-hosts", "[2606:4700::1]:444"], Settings)
    assert settings.file_roots == tuple(map(Path, roots))
    assert settings.s3_buckets == ("true", "12")
    assert settings.https_hosts == ("[2606:4700::1]:444",)
