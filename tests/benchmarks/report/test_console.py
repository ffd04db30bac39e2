import pytest
import typer
from rich.console import Console

from benchmarks.report import console
from server.errors import InvalidModel


@pytest.mark.parametrize("error", [RuntimeError, InvalidModel])
def test_a_failure_ends_the_command_with_its_message(
    error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, console.measuring(Console()):
        raise error("the server [died]")
    assert ended.value.exit_code == 1
    assert "the server [died]" in capsys.readouterr().out


def test_only_problems_end_it_with_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    console.end(Console(), [])
    with pytest.raises(typer.Exit):
        console.end(Console(), ["wrong answers 3"])
    assert capsys.readouterr().out == "wrong answers 3\n"
