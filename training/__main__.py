"""The command line of training: python -m training {demo,prepare,fit,evaluate,report}."""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from server import logs
from training.errors import TrainingError, missing
from training.evaluation.command import add_evaluate, add_report
from training.files import find_samples, limit_samples
from training.prepare.command import add_prepare
from training.quiet import start_tensorflow
from training.settings import (
    MODALITIES,
    FitSettings,
    add_settings,
    add_workers,
    at_least_one,
    positive,
    settings_of,
)

_WIDTH_WITHOUT_TERMINAL = 140


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; gives the exit status."""
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL)
    try:
        options.run(options, console)
    except (TrainingError, ValidationError, OSError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    except ModuleNotFoundError as error:
        console.print(f"error: {missing(error)}", style="red", markup=False)
        return 1
    return 0


# The commands import what they need when they run: TensorFlow takes seconds, --help should not.


def _demo(options: argparse.Namespace, console: Console) -> None:
    start_tensorflow()
    from training.demo import demo

    demo(
        output=options.output_dir,
        data=options.data_dir,
        media_types=options.media_types,
        settings=settings_of(FitSettings, options),
        scale=options.scale,
        version=options.version,
        workers=options.workers,
        console=console,
        restart=options.restart,
    )


def _fit(options: argparse.Namespace, console: Console) -> None:
    from training.rows import check_classes

    samples = limit_samples(find_samples(options.data_dir), options.max_samples)
    settings = settings_of(FitSettings, options)
    check_classes(samples, options.media_types, settings)

    start_tensorflow()
    from training.devices import make_strategy
    from training.evaluation.measure import as_table, from_json
    from training.pipeline import train_modality

    strategy = make_strategy(settings.strategy)
    records = [
        train_modality(
            modality,
            options.data_dir,
            samples,
            options.output_dir,
            settings,
            options.workers,
            console,
            strategy=strategy,
            restart=options.restart,
        )
        for modality in options.media_types
    ]
    held_out = [entry for record in records if record for entry in from_json(record.metrics["test"])]
    console.print(as_table(held_out, "Test split"))
    console.print(f"Export the detector with: python -m exporter {options.output_dir}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m training", description="Trains and measures the models.")
    commands = parser.add_subparsers(title="commands", required=True)

    demo = commands.add_parser("demo", help="a detector from nothing: generate media, train, measure, export")
    demo.add_argument("--data-dir", type=Path, default=Path("data/demo"), help="for the generated media")
    demo.add_argument("--scale", type=positive, default=1.0, help="how many media; 1 is the full corpus")
    demo.add_argument(
        "--version", type=at_least_one, help="of the exported detector; the next free one if left out"
    )
    # As the bundled model was trained. Its media were compressed and processed in many ways when they were
    # made, and its forged clips are inconsistent between frames: a single frame mostly shows nothing.
    defaults = FitSettings(backbone="tiny", image_size=160, augment_share=0, frames_from_videos=False)
    _add_training(demo, defaults, without=("strategy",))
    demo.set_defaults(run=_demo)

    add_prepare(commands)

    fit = commands.add_parser("fit", help="train, calibrate and measure models on your own data")
    fit.add_argument("--data-dir", type=Path, default=Path("data"), help="media; see training/files.py")
    fit.add_argument("--max-samples", type=at_least_one, help="files of each modality, at most")
    _add_training(fit, FitSettings())
    fit.set_defaults(run=_fit)

    add_evaluate(commands)
    add_report(commands)
    return parser


def _add_training(
    parser: argparse.ArgumentParser, defaults: FitSettings, without: tuple[str, ...] = ()
) -> None:
    parser.add_argument("--output-dir", type=Path, default=Path("models"), help="for models and records")
    parser.add_argument(
        "--media-types", nargs="+", choices=MODALITIES, default=list(MODALITIES), help="models to train"
    )
    add_workers(parser)
    parser.add_argument(
        "--restart", action="store_true", help="train again what the output folder has, finished or not"
    )
    add_settings(parser, defaults, without)


if __name__ == "__main__":
    logs.escape_unencodable()
    sys.exit(main())
