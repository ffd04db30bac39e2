"""python -m exporter models/: trained Keras models → one ONNX detector."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn, get_args

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from server import logs
from server.engine.manifest import FusionWeights, Manifest, Precision, Thresholds
from server.engine.repository import graph_file
from server.errors import DetectorError
from training.errors import missing
from training.quiet import start_tensorflow

app = typer.Typer(add_completion=False)
console = Console()

_WEIGHTS, _THRESHOLDS = FusionWeights(), Thresholds()

Weight = Annotated[float, typer.Option(min=0, help="Default weight in the fused probability.")]


@app.command()
def main(
    models: Annotated[Path, typer.Argument(help="Folder with {image,video,audio}_model_{best,final}.keras.")],
    name: Annotated[str, typer.Option(help="Of the detector.")] = "detector",
    version: Annotated[int | None, typer.Option(min=1, help="Default: the next free number.")] = None,
    output: Annotated[Path | None, typer.Option(help="Model repository; default: MODELS.")] = None,
    real_threshold: Annotated[float, typer.Option(help="At or below it: REAL.")] = _THRESHOLDS.real,
    fake_threshold: Annotated[float, typer.Option(help="At or above it: FAKE.")] = _THRESHOLDS.fake,
    image_weight: Weight = _WEIGHTS.image,
    video_weight: Weight = _WEIGHTS.video,
    audio_weight: Weight = _WEIGHTS.audio,
    media_dir: Annotated[
        Path | None, typer.Option(help="Photos, videos, sound to compare with Keras on; default: generated.")
    ] = None,
    precisions: Annotated[
        str, typer.Option(help="Any of fp32 (always written), fp16 and int8, with commas between.")
    ] = "fp32",
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Labelled media, prepared as for training: the validation split calibrates the other "
            "precisions, the test split measures them; default: --media-dir."
        ),
    ] = None,
    max_change: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Largest mean change of a file's probability that another precision may cause."
        ),
    ] = 0.01,
) -> None:
    """Convert trained Keras models and fuse them into one ONNX detector.

    Writes OUTPUT/NAME/VERSION/model.onnx with MODEL_CARD.md beside it, after comparing the graph with
    the Keras models; model.fp16.onnx and model.int8.onnx as well if asked to.
    """
    weights = FusionWeights(image=image_weight, video=video_weight, audio=audio_weight)
    thresholds = _thresholds(real_threshold, fake_threshold)
    wanted = _precisions(precisions)
    _check(name, models, media_dir, data_dir)
    try:
        with console.status("starting TensorFlow") as status:
            start_tensorflow()
            from exporter.export import export

            exported = export(
                models,
                output or models,
                name,
                version,
                fusion_weights=weights,
                thresholds=thresholds,
                max_change=max_change,
                media_folder=media_dir,
                precisions=wanted,
                data_folder=data_dir,
                progress=lambda step: status.update(escape(step)),
            )
    except DetectorError as error:
        _fail(error.code, error.message, error.hint)
    except OSError as error:
        _fail("OS_ERROR", str(error))
    except ModuleNotFoundError as error:
        _fail("MISSING_PACKAGE", missing(error))
    table = Table("modality", "rows", "difference", title="Largest difference in probability to Keras")
    for modality, differences in exported.manifest.parity.items():
        for sample, difference in differences.items():
            table.add_row(modality, sample, f"{difference:.1e}")
    console.print(table)
    if exported.others:
        console.print(_changes(exported.others))
    for manifest in (exported.manifest, *exported.others):
        file = graph_file(exported.path, manifest.precision)
        console.print(f"wrote {escape(str(file))} ({file.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)
    console.print("and MODEL_CARD.md beside it")


def _changes(manifests: Sequence[Manifest]) -> Table:
    table = Table(
        "precision",
        "modality",
        "mean change",
        "largest",
        "AUC",
        "speed-up",
        title="Other precisions against fp32",
    )
    for manifest in manifests:
        if (trade := manifest.trade) is None:
            continue
        for modality, change in trade.change.items():
            areas = "unknown" if change.auc is None else f"{change.auc_before:.4f} → {change.auc:.4f}"
            numbers = (
                f"{change.mean:.1e}",
                f"{change.largest:.1e}",
                areas,
                f"{trade.speed_up[modality]:.2f}",
            )
            table.add_row(manifest.precision, modality, *numbers)
    return table


def _precisions(names: str) -> list[Precision]:
    wanted = names.replace(",", " ").split()
    if unknown := set(wanted) - set(get_args(Precision)):
        raise typer.BadParameter(f"there is no {', '.join(sorted(unknown))}", param_hint="--precisions")
    return [precision for precision in get_args(Precision) if precision in wanted]


def _fail(code: str, *lines: str) -> NoReturn:
    console.print(f"[red]{code}[/red]", *map(escape, lines), sep="\n", soft_wrap=True)
    raise typer.Exit(1)


def _thresholds(real: float, fake: float) -> Thresholds:
    try:
        return Thresholds(real=real, fake=fake)
    except ValidationError as error:
        raise typer.BadParameter(
            error.errors()[0]["msg"], param_hint="--real-threshold, --fake-threshold"
        ) from None


def _check(name: str, models: Path, media_dir: Path | None, data_dir: Path | None) -> None:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise typer.BadParameter("letters, digits, - and _ only", param_hint="--name")
    for folder, hint in ((models, "MODELS"), (media_dir, "--media-dir"), (data_dir, "--data-dir")):
        if folder is not None and not folder.is_dir():
            raise typer.BadParameter(f"{folder} is not a folder", param_hint=hint)


if __name__ == "__main__":
    logs.escape_unencodable()
    app()
