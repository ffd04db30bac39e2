"""The command python -m training prepare."""

import argparse
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from training.datasets import DATASETS
from training.prepare.settings import OnLeak, Place, PrepareSettings
from training.settings import add_workers


def add_prepare(commands: Any) -> None:
    """Adds `prepare` to the subparsers of argparse."""
    parser = commands.add_parser("prepare", help="check, compare, group and split raw media")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="folder of one data set")
    parser.add_argument("--output-dir", type=Path, default=Path("data"), help="the data folder to make")
    parser.add_argument("--dataset", choices=DATASETS, help="what the inputs are; told by their layout")
    parser.add_argument(
        "--place",
        choices=get_args(Place),
        default="reference",
        help="leave the files where they are, or link or copy them into the data folder (reference)",
    )
    parser.add_argument(
        "--on-leak",
        choices=get_args(OnLeak),
        default="refuse",
        help="what to do with files that tie two splits together (refuse)",
    )
    parser.add_argument(
        "--official-splits",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="keep the splits of data sets that have them",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the other splits (0)")
    parser.add_argument(
        "--decode-timeout-seconds", type=float, default=120.0, help="for one file; the next run retries (120)"
    )
    add_workers(parser)
    parser.set_defaults(run=_prepare)


def _prepare(options: argparse.Namespace, console: Console) -> None:
    from training.prepare.run import prepare

    settings = PrepareSettings(
        inputs=tuple(options.inputs),
        output=options.output_dir,
        dataset=options.dataset,
        place=options.place,
        on_leak=options.on_leak,
        official_splits=options.official_splits,
        seed=options.seed,
        workers=options.workers,
        decode_timeout_seconds=options.decode_timeout_seconds,
    )
    prepare(settings, console)
