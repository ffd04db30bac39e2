import io

from rich.console import Console

from benchmarks.report.tables import Table, rate_rows

TABLE = Table(("", "rows/s"), [["a|b", "1"], ["c", "22"]], "Title", "Caption")


def test_a_table_for_a_readme() -> None:
    assert TABLE.markdown().splitlines() == ["|  | rows/s |", "| --- | --- |", "| a/b | 1 |", "| c | 22 |"]


def test_a_table_for_the_terminal() -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(TABLE)
    text = console.export_text()
    assert all(part in text for part in ("Title", "Caption", "│ a|b │      1 │", "│ c   │     22 │"))


def test_rates_stand_beside_their_ratio_to_the_top() -> None:
    rows = rate_rows({"top": [4.0, 8.0], "half": [2.0, 4.0]}, [4.0, 8.0])
    assert rows == [["top", "6.0 ±2.0", "1.00 ±0.00"], ["half", "3.0 ±1.0", "0.50 ±0.00"]]
