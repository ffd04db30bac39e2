"""Machines drift, so whatever is to be compared is measured by turns, in several rounds."""

from collections.abc import Callable, Iterator

Report = Callable[[str], None]
"""Is told what is being measured."""


def by_turns(count: int, report: Report) -> Iterator[tuple[int, Report]]:
    """The number of each round, and what to tell what is measured in it."""
    for number in range(count):
        yield number, about(f"round {number + 1} of {count}", report)


def about(subject: str, report: Report) -> Report:
    """Says what everything is about, too."""
    return lambda what: report(f"{subject}: {what}")
