"""Pictures of a comparison."""

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.compare.compared import Compared, amount
from benchmarks.compare.lines import closed_lines, open_lines
from benchmarks.report import figures


def plot(compared: Compared, file: Path) -> None:
    """Writes a PNG: answers a second and p99 by clients, and goodput by offered load."""
    closed, opened = closed_lines(compared), open_lines(compared)
    figure = Figure(figsize=(16, 5), layout="constrained")
    rates, latencies, goodput = figure.subplots(1, 3)
    for server in compared.closed:
        lines = [line for line in closed if line.server == server]
        clients = [amount(line.load) for line in lines]
        medians = [line.rate.median for line in lines]
        spreads = [line.rate.half_spread for line in lines]
        rates.errorbar(clients, medians, spreads, marker="o", capsize=3, label=server)
        latencies.plot(clients, [line.p99 for line in lines], marker="o", label=server)
        lines = [line for line in opened if line.server == server]
        offered = [amount(line.load) for line in lines]
        goodput.plot(offered, [line.good.median for line in lines], marker="o", label=server)
    loads = next(iter(compared.closed.values()), {})
    tops = [(amount(load), figures.figure(compared.ceiling(load)).median) for load in loads]
    rates.plot(*zip(*tops, strict=True), color="black", linestyle="--", label="ceiling")
    rates.set(xlabel="clients", ylabel="answers/s", xscale="log", ylim=(0, None))
    latencies.set(xlabel="clients", ylabel="p99 ms", xscale="log", yscale="log")
    goodput.set(
        xlabel="offered, % of own capacity", ylabel=f"answers/s within {1000 * compared.deadline:.1f} ms"
    )
    goodput.set_ylim(0, None)
    rates.legend(fontsize="small")
    figure.suptitle(compared.about)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
