"""The commands that measure: python -m training {evaluate,report}."""

import argparse
import os
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from rich.console import Console

from training.quiet import start_tensorflow
from training.settings import add_workers, at_least_one, not_negative

if TYPE_CHECKING:
    from training.evaluation.judge import Judge

_PREDICTIONS = "model_evaluation_predictions.jsonl"
# As the clients' command line understands them.
_YES = ("1", "true", "t", "yes", "y", "on")
_CSV, _JSON = "model_evaluation_results.csv", "model_evaluation_results.json"

# As in training.__main__: what takes seconds to import is imported by the command that needs it.


def add_evaluate(commands: Any) -> None:
    """Adds `evaluate` to the subparsers of argparse."""
    parser = commands.add_parser("evaluate", help="measure a detector on labelled media")
    parser.add_argument(
        "--data-dir", type=Path, nargs="+", required=True, help="media; several folders are several data sets"
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="what fit and the exporter wrote")
    parser.add_argument(
        "--engine",
        choices=("keras", "onnx"),
        default="keras",
        help="the Keras models, or the exported graph in the server's own engine (keras)",
    )
    parser.add_argument("--server", help="host:port: measure what this server serves instead")
    parser.add_argument("--token", default=os.environ.get("DETECTOR_TOKEN"), help="bearer token for --server")
    use_tls = os.environ.get("DETECTOR_TLS", "").lower() in _YES
    parser.add_argument(
        "--tls", action="store_true", default=use_tls, help="--server speaks TLS; implied by --ca and --cert"
    )
    for name, content in (
        ("ca", "of who signed its certificate"),
        ("cert", "of a certificate, if it asks for one"),
        ("key", "of its key"),
    ):
        default = os.environ.get(f"DETECTOR_{name.upper()}") or None
        parser.add_argument(f"--{name}", type=Path, default=default, help=f"PEM {content}, for --server")
    parser.add_argument("--split", choices=("train", "val", "test", "all"), default="test")
    parser.add_argument("--max-samples", type=at_least_one, help="files of each kind and folder, at most")
    parser.add_argument(
        "--robustness",
        type=not_negative,
        default=0,
        metavar="N",
        help="perturb N files of each kind in every way (0)",
    )
    parser.add_argument(
        "--effort",
        type=not_negative,
        default=8,
        metavar="N",
        help="files of each kind to time one by one (8)",
    )
    parser.add_argument(
        "--false-positive-rates",
        type=_rate,
        nargs="+",
        metavar="RATE",
        help="to find thresholds for (0.001 0.01 0.05 0.1)",
    )
    parser.add_argument("--asv-scores", type=Path, help="ASVspoof's ASV scores, for min t-DCF")
    parser.add_argument(
        "--output-dir", type=Path, help="for results and predictions (the folder of --models)"
    )
    _add_report_dir(parser)
    add_workers(parser)
    parser.set_defaults(run=_evaluate)


def _rate(text: str) -> float:
    if not 0 <= float(text) < 1:
        raise argparse.ArgumentTypeError(f"a share of the real files is needed, as 0.01, not {text}")
    return float(text)


def add_report(commands: Any) -> None:
    """Adds `report` to the subparsers of argparse."""
    parser = commands.add_parser("report", help="the same plots of predictions that the client wrote")
    parser.add_argument("predictions", type=Path, help=".csv or .jsonl of python -m clients detect --output")
    parser.add_argument(
        "--labels", type=Path, help="CSV with path and label; else a column label, or folders real/ and fake/"
    )
    parser.add_argument("--real-threshold", type=float, default=0.35, help="at or below it: REAL (0.35)")
    parser.add_argument("--fake-threshold", type=float, default=0.65, help="at or above it: FAKE (0.65)")
    parser.add_argument("--asv-scores", type=Path, help="ASVspoof's ASV scores, for min t-DCF")
    _add_report_dir(parser)
    parser.set_defaults(run=_report)


def _add_report_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--report-dir", type=Path, default=Path("reports"), help="for the HTML page")


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    from training.evaluation.judged import write_judged
    from training.evaluation.measure import as_table
    from training.evaluation.operating import FALSE_POSITIVE_RATES
    from training.evaluation.results import write_csv, write_json
    from training.evaluation.run import Wanted, evaluate_detector
    from training.report.page import write_report

    wanted = Wanted(
        folders=options.data_dir,
        split=None if options.split == "all" else options.split,
        max_samples=options.max_samples,
        robustness_files=options.robustness,
        effort_files=options.effort,
        rates=options.false_positive_rates or FALSE_POSITIVE_RATES,
        asv_scores=options.asv_scores,
        workers=options.workers,
    )
    folder = options.output_dir or options.models
    with _judge(options) as judge:
        # A folder that cannot be written to shall not be noticed after hours.
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
        results, judged = evaluate_detector(judge, wanted, console)
        console.print(as_table(results.evaluations, f"{judge.name}, {options.split} files"))
        # First what took hours: the page asks the detector again, which may fail.
        write_judged(folder / _PREDICTIONS, judged)
        write_csv(folder / _CSV, results.evaluations)
        write_json(folder / _JSON, results)
        page = options.report_dir / "evaluation.html"
        write_report(page, "Evaluation", results, judged, judge)
    console.print(f"{page}, and {_CSV}, {_JSON}, {_PREDICTIONS} in {folder}", soft_wrap=True)


def _report(options: argparse.Namespace, console: Console) -> None:
    from training.evaluation.judged import read_judged
    from training.evaluation.measure import as_table
    from training.evaluation.run import results_of_predictions
    from training.report.page import write_report

    judged = read_judged(options.predictions, options.labels)
    results = results_of_predictions(
        judged, options.predictions, (options.real_threshold, options.fake_threshold), options.asv_scores
    )
    console.print(as_table(results.evaluations, str(options.predictions)))
    page = options.report_dir / f"{options.predictions.stem}.html"
    write_report(page, str(options.predictions), results, judged)
    console.print(f"{page}", soft_wrap=True)


def _judge(options: argparse.Namespace) -> "AbstractContextManager[Judge]":
    if options.server:
        from training.evaluation.served_judge import credentials, served_judge

        own = credentials(options.tls, options.ca, options.cert, options.key)
        return served_judge(options.server, options.token, own)
    if options.engine == "onnx":
        from training.evaluation.served_judge import onnx_judge

        return onnx_judge(options.models)
    start_tensorflow()
    from training.evaluation.keras_judge import keras_judge

    return keras_judge(options.models, options.workers)
