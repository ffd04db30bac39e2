"""python -m exporter models/: trained Keras models → one ONNX detector."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from server.engine.manifest import FusionWeights, Thresholds
from server.errors import DetectorError
from training.quiet import start_tensorflow

app = typer.Typer(add_completion=False)
console = Console()

Weight = Annotated[float, typer.Option(min=0, help="Default weight in the fused probability.")]


@app.command()
def main(
    models: Annotated[Path, typer.Argument(help="Folder with {image,video,audio}_model_{best,final}.keras.")],
    name: Annotated[str, typer.Option(help="Of the detector.")] = "detector",
    version: Annotated[int | None, typer.Option(min=1, help="Default: the next free number.")] = None,
    output: Annotated[Path | None, typer.Option(help="Model repository; default: MODELS.")] = None,
    real_threshold: Annotated[float, typer.Option(help="At or below it: REAL.")] = 0.35,
    fake_threshold: Annotated[float, typer.Option(help="At or above it: FAKE.")] = 0.65,
    image_weight: Weight = 0.4,
    video_weight: Weight = 0.4,
    audio_weight: Weight = 0.2,
    media_dir: Annotated[
        Path | None, typer.Option(help="Photos, videos, sound to compare with Keras on; default: generated.")
    ] = None,
) -> None:
    """Convert trained Keras models and fuse them into one ONNX detector.

    Writes OUTPUT/NAME/VERSION/model.onnx with MODEL_CARD.md beside it, after comparing the graph with
    the Keras models.
    """
    weights = FusionWeights(image=image_weight, video=video_weight, audio=audio_weight)
    thresholds = _thresholds(real_threshold, fake_threshold)
    _check(name, models, media_dir)
    try:
        with console.status("starting TensorFlow") as status:
            start_tensorflow()
            from exporter.export import export

            exported = export(
                models,
                output or models,
                name,
                version,
                weights,
                thresholds,
                media_dir,
                lambda step: status.update(escape(step)),
            )
    except DetectorError as error:
        _fail(error.code, error.message, error.hint)
    except OSError as error:
        _fail("OS_ERROR", str(error))
    table = Table("modality", "rows", "difference", title="Largest difference in probability to Keras")
    for modality, differences in exported.manifest.parity.items():
        for sample, difference in differences.items():
            table.add_row(modality, sample, f"{difference:.1e}")
    console.print(table)
    megabytes = exported.path.stat().st_size / 1e6
    console.print(
        f"wrote {escape(str(exported.path))} ({megabytes:.1f} MB) and its MODEL_CARD.md", soft_wrap=True
    )


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


def _check(name: str, models: Path, media_dir: Path | None) -> None:
    if not name.replace("-", "").replace("_", "").isalnum():
        raise typer.BadParameter("letters, digits, - and _ only", param_hint="--name")
    for folder, hint in ((models, "MODELS"), (media_dir, "--media-dir")):
        if folder is not None and not folder.is_dir():
            raise typer.BadParameter(f"{folder} is not a folder", param_hint=hint)


if __name__ == "__main__":
    app()
