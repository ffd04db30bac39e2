"""Tables of what was measured, for the terminal and for a README."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import rich.table

from benchmarks.report.figures import figure, ratio


@dataclass(frozen=True, slots=True)
class Table:
    """Of text; the first column names what the others are about."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    caption: str = ""

    def __rich__(self) -> rich.table.Table:
        """For the terminal: a rich console prints it as it is."""
        table = rich.table.Table(title=self.title or None, caption=self.caption or None)
        for number, heading in enumerate(self.headings):
            table.add_column(heading, no_wrap=number == 0, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a README."""
        lines = [self.headings, ["---"] * len(self.headings), *self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def rate_rows(rates: Mapping[str, Sequence[float]], top: Sequence[float]) -> list[list[str]]:
    """Of each its rate, and that over `top`; both have a number for each round."""
    return [[name, str(figure(found)), f"{ratio(found, top):.2f}"] for name, found in rates.items()]
