import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.company import Company

MANY = 100


def used_to(*runs: int, delay: float | None = None, fixed: float = 0.01) -> Company:
    """After many runs with so many requests around, in turn."""
    company = Company(delay)
    for requests in runs:
        for _ in range(MANY):
            company.saw(requests, fixed)
    return company


def test_who_is_usually_alone_waits_for_nobody() -> None:
    assert Company().delay(1, 0.0) == 0
    assert used_to(1).delay(1, 0.0) == 0


@given(st.integers(2, 64), st.data())
def test_all_who_are_usually_there_are_worth_a_wait_of_about_a_run(usual: int, data: st.DataObject) -> None:
    company = used_to(usual)
    some = data.draw(st.integers(1, usual - 1))
    assert company.delay(some, 0.001) == pytest.approx(0.01, abs=0.003)
    assert company.delay(usual, 0.001) == 0


def test_rows_that_cost_more_than_the_wait_could_save_do_not_wait() -> None:
    assert used_to(8).delay(1, 0.02) == 0


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0, 1), st.sampled_from([0.0, 0.5]))
def test_a_given_delay_is_kept_in_any_case(usual: int, requests: int, cost: float, delay: float) -> None:
    assert used_to(usual, delay=delay).delay(requests, cost) == delay


def test_company_is_forgotten_when_it_stays_away() -> None:
    assert not used_to(32).rare
    company = used_to(32, 1)
    assert company.rare
    assert company.delay(1, 0.0) == 0


def test_company_that_comes_now_and_then_is_rare() -> None:
    company = Company()
    for _ in range(MANY):
        company.saw(2, 0.01)
        company.saw(1, 0.01)
    assert company.rare
