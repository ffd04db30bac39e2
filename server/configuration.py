"""Where the values of settings come from: flags, environment, config file, and profile.

Precedence: flags, then values given in code, then environment, then config file, then the profile,
then defaults.
"""

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

ENV_PREFIX = "DEEPFAKE_"
_HIDDEN = str(SecretStr("any"))
# What flags have for none, so that they can undo what environment or file say.
_NONE = "null"
Kind = TypeVar("Kind", bound="Configured")

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "development": {},
    "production": {"host": "0.0.0.0", "reflection": False, "log_format": "json"},  # noqa: S104
    "test": {
        "port": 0,
        "provider": "cpu",
        "intra_op_threads": 1,
        "graph_cache": False,
        "decode_workers": 1,
        "log_level": "warning",
    },
}
"""What each profile puts in place of the defaults."""


class Configured(BaseSettings):
    """Settings that are a flag, a variable and a key of the config file each; these say where to look."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="forbid",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        ser_json_inf_nan="strings",
        env_parse_none_str=_NONE,
    )

    config: Path | None = Field(None, description="TOML or JSON file with any of these settings as keys.")
    profile: Literal["development", "production", "test"] = Field(
        "development", description="Changes the defaults of some settings, as listed below."
    )
    print_config: bool = Field(False, description="Print the settings in force as JSON, and exit.")

    @field_validator("*")
    @classmethod
    def _is_not_hidden(cls, value: object) -> object:
        if isinstance(value, SecretStr) and value.get_secret_value() == _HIDDEN:
            # Whoever keeps what --print-config says, and says the secret nowhere else, would have none.
            raise ValueError(f"is the {_HIDDEN} that stands for a secret")
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _paths_have_names(cls, value: Any, info: ValidationInfo) -> Any:
        # Empty is what a variable is that a script sets to another one which is not set.
        empty = "" in value if isinstance(value, (list, tuple)) else value == ""
        if empty and Path in get_args(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("an empty name would be the working folder")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _FileAndProfile(settings_cls)


class _FileAndProfile(PydanticBaseSettingsSource):
    """The config file over the defaults of the profile; a source of higher precedence may name either."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        named = self.current_state.get("config")
        file = {} if named is None else _read(Path(named))
        # A profile that does not exist is reported where all values are checked.
        profile = str((file | self.current_state).get("profile"))
        return {**PROFILES.get(profile, {}), **file}


class _Flags(CliSettingsSource[Any]):
    """A list is a flag for each of its values, as they are: commas and brackets are parts of names."""

    def _merge_parsed_list(self, parsed_list: list[str], field_name: str) -> str:
        if _is_list(self.settings_cls.model_fields[field_name]):
            return json.dumps(parsed_list)
        return super()._merge_parsed_list(parsed_list, field_name)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise SettingsError(f"config file {path}: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"config file {path}: must be a table of settings")
    return values


def load(argv: Sequence[str], kind: type[Kind], program: str = "python -m server") -> Kind:
    """Settings of `kind` from flags, environment and config file.

    Exits with status 0 after `--help`.

    Raises:
        SettingsError: an unknown key or impossible value, with a message that names it.
    """
    _check_environment(kind)
    flags: CliSettingsSource[Any] = _Flags(
        kind, cli_prog_name=program, cli_parse_args=list(argv), root_parser=None
    )
    try:
        return kind(_cli_settings_source=flags)
    except ValidationError as error:
        raise SettingsError("; ".join(_problem(found, kind) for found in error.errors())) from error


def _check_environment(kind: type[Configured]) -> None:
    fields = {ENV_PREFIX + name.upper(): field for name, field in kind.model_fields.items()}
    for variable, value in os.environ.items():
        if not variable.startswith(ENV_PREFIX):
            continue
        if variable not in fields:
            raise SettingsError(f"environment variable {variable} is not a setting")
        if _is_list(fields[variable]) and not _is_json_list(value):
            raise SettingsError(f'environment variable {variable} must be a JSON list, as ["one", "two"]')


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _is_json_list(value: str) -> bool:
    try:
        return isinstance(json.loads(value), list)
    except ValueError:
        return False


def _problem(found: ErrorDetails, kind: type[Configured]) -> str:
    # What is wrong with several settings together is at none of them, and begins with their names.
    where, what = ".".join(map(str, found["loc"])), found["msg"].removeprefix("Value error, ")
    name, colon, rest = (f"{where}: {what}" if where else what).partition(":")
    flag = f" (--{name.replace('_', '-')})" if name in kind.model_fields else ""
    return f"{name}{flag}{colon}{rest}"
