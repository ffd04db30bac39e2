"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from training.settings import Backbone

MODEL_FILE = typer.Option(help="An exported <name>/<version>/model.onnx.", exists=True, dir_okay=False)
ModelFile = Annotated[Path | None, MODEL_FILE]
ExportedBackbone = Annotated[Backbone, typer.Option(help="Without --model: export this.")]
ExportedSize = Annotated[int, typer.Option(help="Without --model: pixels of a side.", min=32)]
Size = Annotated[int, typer.Option(help="Pixels of a side.", min=32)]
Rounds = Annotated[int, typer.Option(min=1)]
Seconds = Annotated[float, typer.Option(help="Of each measurement.", min=0.5)]
