import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.logit_auc import LogitAUC


@pytest.mark.parametrize("spread", [0.001, 0.5, 5, 60])
def test_it_is_right_whether_logits_are_small_or_large(spread: float) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(1000) % 2
    logits = (spread * (random.normal(0, 1, 1000) + labels)).astype(np.float32)
    metric = LogitAUC()
    for half in (slice(500), slice(500, None)):
        metric.update_state(labels[half], logits[half])
    assert float(metric.result()) == pytest.approx(roc_auc_score(labels, logits), abs=2e-3)
