import math

from benchmarks.yardstick.sample import wrong_answers


def test_an_answer_is_wrong_beyond_the_tolerance_or_if_it_is_no_number() -> None:
    answers = [(0, 0.25), (1, 0.76), (1, 0.8), (0, math.nan)]
    assert wrong_answers(answers, [0.25, 0.75], tolerance=0.02) == 2
