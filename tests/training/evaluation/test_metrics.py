import numpy as np
import pytest
from sklearn import metrics as sk

from training.evaluation.metrics import METRICS, equal_error_rate, estimate, expected_calibration_error

AUC = {"auc": METRICS["auc"]}
ACCURACY = {"accuracy": METRICS["accuracy"]}


def test_eer_of_a_hand_worked_case() -> None:
    # At a threshold of 0.5 one of four reals is above and one of four fakes below.
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    scores = [0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9]
    assert equal_error_rate(labels, scores) == pytest.approx(0.25)


def test_eer_is_interpolated_between_thresholds() -> None:
    # ROC corners (1/3, 1/2) and (1/3, 1): the line FPR = 1 - TPR cuts between them.
    assert equal_error_rate([0, 0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9, 0.5]) == pytest.approx(1 / 3)
    # Ties of a real and a fake: one slanted step from (0, 0) to (1, 1), cut in its middle.
    assert equal_error_rate([0, 1], [0.5, 0.5]) == pytest.approx(0.5)


@pytest.mark.parametrize(("scores", "rate"), [([0.1, 0.2, 0.8, 0.9], 0.0), ([0.8, 0.9, 0.1, 0.2], 1.0)])
def test_eer_of_perfect_and_inverted_scores(scores: list[float], rate: float) -> None:
    assert equal_error_rate([0, 0, 1, 1], scores) == pytest.approx(rate)


def test_calibration_error_of_a_hand_worked_case() -> None:
    # Bin 0.1–0.2 holds two at 0.15, none fake; bin 0.9–1 two at 0.95, one fake: (2·0.15 + 2·0.45) / 4.
    assert expected_calibration_error([0, 0, 1, 0], [0.15, 0.15, 0.95, 0.95]) == pytest.approx(0.3)
    # Both in the bin 0.1–0.2, where they meet half way: |0.3 - 1| / 2.
    assert expected_calibration_error([1, 0], [0.11, 0.19]) == pytest.approx(0.35)


def test_metrics_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300)
    scores = np.clip(0.5 + 0.2 * (labels - 0.5) + random.normal(0, 0.2, 300), 0.001, 0.999)
    found = estimate(labels, scores, np.arange(300), resamples=2)
    expected = {
        "accuracy": sk.accuracy_score(labels, scores >= 0.5),
        "precision": sk.precision_score(labels, scores >= 0.5),
        "recall": sk.recall_score(labels, scores >= 0.5),
        "f1": sk.f1_score(labels, scores >= 0.5),
        "auc": sk.roc_auc_score(labels, scores),
        "average_precision": sk.average_precision_score(labels, scores),
        "log_loss": sk.log_loss(labels, scores),
        "brier": np.mean((scores - labels) ** 2),
    }
    assert set(found) == set(METRICS)
    assert {name: found[name].value for name in expected} == pytest.approx(expected)


def test_one_half_is_called_fake() -> None:
    found = estimate([1, 0], [0.5, 0.4], ["a", "b"], resamples=0)
    for name in ("accuracy", "precision", "recall", "f1"):
        assert found[name].value == 1.0, name


def test_a_wrong_answer_without_doubt_costs_what_scikit_learn_says() -> None:
    found = estimate([1, 0], [0.0, 0.0], ["a", "b"], resamples=0)["log_loss"]
    assert found.value == pytest.approx(sk.log_loss([1, 0], [0.0, 0.0]))


def test_weights_count_like_repeated_scores() -> None:
    labels, scores = np.array([0, 1, 0, 1, 1]), np.array([0.2, 0.4, 0.6, 0.7, 0.9])
    weights = np.array([2, 1, 3, 1, 2])
    for name, metric in METRICS.items():
        repeated = metric(labels.repeat(weights), scores.repeat(weights), np.ones(weights.sum()))
        assert metric(labels, scores, weights.astype(float)) == pytest.approx(repeated), name


def test_intervals_cover_the_value_and_widen_when_scores_share_a_group() -> None:
    random = np.random.default_rng(1)
    labels = np.tile([0, 1], 200)
    scores = np.clip(0.5 + 0.1 * (labels * 2 - 1) + random.normal(0, 0.2, 400), 0, 1)
    alone = estimate(labels, scores, np.arange(400), AUC)["auc"]
    # The same evidence ten times over tells no more than once.
    copied = estimate(labels.repeat(10), scores.repeat(10), np.arange(400).repeat(10), AUC)["auc"]
    naive = estimate(labels.repeat(10), scores.repeat(10), np.arange(4000), AUC)["auc"]

    def width(found: object) -> float:
        return found.high - found.low  # type: ignore[attr-defined, no-any-return]

    assert alone.value is not None
    assert alone.low is not None
    assert alone.high is not None
    assert alone.low < alone.value < alone.high
    assert width(copied) == pytest.approx(width(alone), rel=0.05)
    assert width(naive) < 0.5 * width(alone)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        right = (random.random(60) < 0.8).astype(float)
        found = estimate(np.ones(60, int), right, np.arange(60), ACCURACY, resamples=200)["accuracy"]
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.8 <= found.high
    assert 85 <= covered <= 100


def test_the_interval_of_a_share_is_that_of_the_binomial_distribution() -> None:
    right = np.repeat([0.0, 1.0], [80, 320])
    found = estimate(np.ones(400, int), right, np.arange(400), ACCURACY, resamples=4000)["accuracy"]
    # 95 % of them lie within 1.96 standard deviations, which are 0.02.
    assert (found.low, found.high) == pytest.approx((0.8 - 0.0392, 0.8 + 0.0392), abs=0.003)


def test_as_many_groups_are_drawn_as_there_are() -> None:
    drawn = {"accuracy": lambda y, p, w: float(w.sum())}
    assert estimate([0, 1], [0.1, 0.9], ["a", "b"], drawn)["accuracy"] == (2.0, 2.0, 2.0)


def test_one_class_alone_has_no_ranking_metrics_and_says_so() -> None:
    found = estimate([1, 1, 1], [0.2, 0.7, 0.9], ["a", "b", "c"])
    known = {name for name, of in found.items() if of.value is not None}
    assert known == {"accuracy", "log_loss", "brier", "ece"}
    assert found["accuracy"].value == pytest.approx(2 / 3)


def test_one_group_tells_nothing_of_how_certain_a_figure_is() -> None:
    labels, scores = [0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9]
    found = estimate(labels, scores, ["one"] * 4, AUC)["auc"]
    assert (found.value, found.low, found.high) == (0.75, None, None)
