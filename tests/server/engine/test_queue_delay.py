import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.queue_delay import QueueDelay

MANY = 100


def used_to(*runs: int, delay: float | None = None, fixed: float = 0.01) -> QueueDelay:
    """After many runs with so many requests around, in turn."""
    learnt = QueueDelay(delay)
    for requests in runs:
        for _ in range(MANY):
            learnt.learn(requests, fixed)
    return learnt


def test_who_is_usually_alone_waits_for_nobody() -> None:
    assert QueueDelay().seconds(1, 0.0) == 0
    assert used_to(1).seconds(1, 0.0) == 0


@given(st.integers(2, 64), st.data())
def test_all_who_are_usually_there_are_worth_a_wait_of_about_a_run(usual: int, data: st.DataObject) -> None:
    learnt = used_to(usual)
    some = data.draw(st.integers(1, usual - 1))
    assert learnt.seconds(some, 0.001) == pytest.approx(0.01, abs=0.003)
    assert learnt.seconds(usual, 0.001) == 0


def test_rows_that_cost_more_than_the_wait_could_save_do_not_wait() -> None:
    assert used_to(8).seconds(1, 0.02) == 0


@given(st.integers(1, 64), st.integers(1, 64), st.floats(0, 1), st.sampled_from([0.0, 0.5]))
def test_a_given_delay_is_kept_in_any_case(usual: int, requests: int, cost: float, delay: float) -> None:
    assert used_to(usual, delay=delay).seconds(requests, cost) == delay


def test_company_is_forgotten_when_it_stays_away() -> None:
    assert not used_to(32).usually_alone
    learnt = used_to(32, 1)
    assert learnt.usually_alone
    assert learnt.seconds(1, 0.0) == 0


def test_company_that_comes_now_and_then_is_rare() -> None:
    learnt = QueueDelay()
    for _ in range(MANY):
        learnt.learn(2, 0.01)
        learnt.learn(1, 0.01)
    assert learnt.usually_alone
