"""The command python -m training prepare."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from training.datasets import DATASETS
from training.prepare.settings import PrepareSettings
from training.settings import add_settings, add_workers, settings_of


def add_prepare(commands: Any) -> None:
    """Adds `prepare` to the subparsers of argparse."""
    parser = commands.add_parser("prepare", help="check, compare, group and split raw media")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="folder of one data set")
    parser.add_argument(
        "--output-dir",
        dest="output",
        type=Path,
        default=Path("data"),
        metavar="OUTPUT_DIR",
        help="the data folder to make",
    )
    parser.add_argument("--dataset", choices=DATASETS, help="what the inputs are; told by their layout")
    defaults = PrepareSettings(inputs=(), output=Path("data"))
    add_settings(parser, defaults, without=("inputs", "output", "dataset", "workers"))
    add_workers(parser)
    parser.set_defaults(run=_prepare)


def _prepare(options: argparse.Namespace, console: Console) -> None:
    from training.prepare.run import prepare

    prepare(settings_of(PrepareSettings, options), console)
