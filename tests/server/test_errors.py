import pickle

import pytest

from server import errors


def concrete(root: type[errors.DetectorError]) -> list[type[errors.DetectorError]]:
    heirs = [heir for child in root.__subclasses__() for heir in concrete(child)]
    return heirs or [root]


ERRORS = concrete(errors.DetectorError)


def test_codes_are_unique() -> None:
    codes = [error.code for error in ERRORS]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_each_error_says_what_to_do_and_stands_in_the_overview(error: type[errors.DetectorError]) -> None:
    assert error("reason").hint
    assert errors.__doc__ is not None
    assert error.__name__ in errors.__doc__
    assert error.code in errors.__doc__


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_errors_survive_the_way_between_processes(error: type[errors.DetectorError]) -> None:
    copy = pickle.loads(pickle.dumps(error("reason", "hint")))
    assert (type(copy), copy.message, copy.hint, str(copy)) == (error, "reason", "hint", "reason")
