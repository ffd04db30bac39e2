import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.logit_auc import LogitAUC


@pytest.mark.parametrize("spread", [0.5, 5, 20])
def test_it_is_right_however_sure_the_logits_are(spread: float) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(1000) % 2
    logits = (spread * (random.normal(0, 1, 1000) + labels)).astype(np.float32)
    metric = LogitAUC()
    for half in (slice(500), slice(500, None)):
        metric.update_state(labels[half], logits[half])
    assert float(metric.result()) == pytest.approx(roc_auc_score(labels, logits), abs=1e-3)
