from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from training.errors import DataError
from training.evaluation.asvspoof import COSTS, AsvErrors, act_dcf, cllr, min_dcf, min_tdcf, read_asv_errors

# Two bona fide (label 0) and two spoofed trials, as log-likelihood ratios for bona fide.
RATIOS = np.array([np.log(3), -np.log(3), np.log(3), -np.log(9)])
LABELS = np.array([0, 0, 1, 1])
EACH_ONCE = np.ones(4)
SCORES = expit(-RATIOS)


def test_cllr_of_hand_worked_ratios() -> None:
    # Bona fide: log2(1 + 1/3) and log2(1 + 3); spoofed: log2(1 + 3) and log2(1 + 1/9).
    expected = (np.log2(4 / 3) + np.log2(4) + np.log2(4) + np.log2(10 / 9)) / 4
    assert cllr(LABELS, SCORES, EACH_ONCE) == pytest.approx(expected)


def test_cllr_of_a_detector_that_knows_nothing_is_one_bit() -> None:
    assert cllr(LABELS, np.full(4, 0.5), EACH_ONCE) == pytest.approx(1)


def test_dcf_of_hand_worked_scores() -> None:
    # ASVspoof 5: misses cost 0.95, false acceptances 0.5, divided by 0.5: 1.9 miss + accept.
    # Accepting at log 3 and above: one of two missed, one of two accepted, 0.95 + 0.5. Accepting
    # at -log 3 and above: none missed, one of two accepted, 0.5: the best.
    assert min_dcf(LABELS, SCORES, EACH_ONCE) == pytest.approx(0.5)
    # The Bayes threshold is -log 1.9, between the two: 0.95 + 0.5.
    assert act_dcf(LABELS, SCORES, EACH_ONCE) == pytest.approx(1.45)
    # Log 1 is above it: everything is accepted.
    assert act_dcf(LABELS, np.full(4, 0.5), EACH_ONCE) == pytest.approx(1)


@pytest.mark.parametrize("name", COSTS)
def test_weights_count_like_repeated_trials(name: str) -> None:
    weights = np.array([3, 1, 2, 1])
    repeated = COSTS[name](LABELS.repeat(weights), SCORES.repeat(weights), np.ones(7))
    assert COSTS[name](LABELS, SCORES, weights.astype(float)) == pytest.approx(repeated)


def test_dcf_never_costs_more_than_accepting_everything() -> None:
    assert min_dcf(LABELS, 1 - SCORES, EACH_ONCE) <= 1
    assert min_dcf(LABELS, np.full(4, 0.5), EACH_ONCE) == pytest.approx(1)


def test_tandem_cost_of_a_hand_worked_system() -> None:
    # ASVspoof 2019: C1 = 0.9405 (1 - 0.05) - 0.0095 * 10 * 0.05 = 0.888725; C2 = 10 * 0.05 * (1 - 0.6) = 0.2.
    cost = min_tdcf(AsvErrors(false_accept=0.05, miss=0.05, spoof_miss=0.6))
    # At -log 3: nothing missed, half of the spoofs accepted: 0.2 * 0.5 / 0.2. At log 3: 0.888725 / 2 more.
    assert cost(LABELS, SCORES, EACH_ONCE) == pytest.approx(0.5)
    # With the ranking turned round the best is to accept all: C2 / C2.
    assert cost(LABELS, 1 - SCORES, EACH_ONCE) == pytest.approx(1)


def test_tandem_cost_is_divided_by_the_cheaper_of_the_two_errors() -> None:
    # C1 = 0.9405 * 0.5 - 0.095 * 0.1 = 0.46075, C2 = 0.5: missing everything costs 1.
    cost = min_tdcf(AsvErrors(false_accept=0.1, miss=0.5, spoof_miss=0.0))
    assert cost(LABELS, np.full(4, 0.5), EACH_ONCE) == pytest.approx(1)
    # Spoof accepted half the time, nothing missed: 0.5 * 0.5 / 0.46075.
    assert cost(LABELS, SCORES, EACH_ONCE) == pytest.approx(0.25 / 0.46075)


def test_a_verification_system_that_accepts_no_spoof_needs_no_countermeasure() -> None:
    with pytest.raises(DataError, match="not defined"):
        min_tdcf(AsvErrors(false_accept=0.0, miss=0.0, spoof_miss=1.0))


def test_asv_errors_are_those_at_equal_error_rate(tmp_path: Path) -> None:
    targets = [f"S{i} bonafide target {score}" for i, score in enumerate([1, 2, 3, 4])]
    nontargets = [f"N{i} bonafide nontarget {score}" for i, score in enumerate([-2, -1, 0, 2])]
    spoofs = [f"P{i} A07 spoof {score}" for i, score in enumerate([0.5, 1, 2])]
    file = tmp_path / "asv.txt"
    file.write_text("\n".join([*targets, *nontargets, *spoofs]) + "\n")
    # At a threshold of 2: one of four targets below, one of four nontargets at or above.
    assert read_asv_errors(file) == AsvErrors(false_accept=0.25, miss=0.25, spoof_miss=2 / 3)


@pytest.mark.parametrize("text", ["target", "a b nobody 1.0", "t target 1\nn nontarget 0"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "asv.txt").write_text(text)
    with pytest.raises(DataError):
        read_asv_errors(tmp_path / "asv.txt")
