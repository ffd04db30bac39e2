"""Finds the graph to serve in <folder>/<name>/<version>/model.onnx (Triton's layout)."""

from pathlib import Path

from server.errors import ModelNotFound

BUNDLED = Path(__file__).parent.parent / "bundled"
_GRAPH = "model.onnx"


def find_model(folder: Path | None, name: str | None = None, version: str | None = None) -> Path:
    """The path of the graph to serve.

    Args:
        folder: the repository; None for ./models if it holds a model, else the bundled one.
        name: needed if the folder holds several models.
        version: None for the highest number.

    Raises:
        ModelNotFound: no such graph; the message lists what there is.
    """
    if folder is None:
        folder = Path("models")
        if not _models(folder):
            folder = BUNDLED
    models = _models(folder)
    if not models:
        raise ModelNotFound(f"{folder} holds no NAME/VERSION/{_GRAPH}")
    if name is None and len(models) > 1:
        raise ModelNotFound(
            f"{folder} holds several models: {', '.join(sorted(models))}", "Choose one with --model."
        )
    chosen = name or next(iter(models))
    if chosen not in models:
        raise ModelNotFound(f"{folder} holds no model {chosen}, only {', '.join(sorted(models))}")
    versions = models[chosen]
    number = version or max(versions, key=int)
    if number not in versions:
        raise ModelNotFound(f"{folder / chosen} holds no version {number}, only {', '.join(versions)}")
    return folder / chosen / number / _GRAPH


def _models(folder: Path) -> dict[str, list[str]]:
    models: dict[str, list[str]] = {}
    for graph in sorted(folder.glob(f"*/*/{_GRAPH}")):
        name, version = graph.parts[-3:-1]
        if version.isdecimal():
            models.setdefault(name, []).append(version)
    return models
