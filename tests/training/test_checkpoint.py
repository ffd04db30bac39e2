from training.checkpoint import Progress
from training.steps import Speed


def _after(progress: Progress, auc: float) -> Progress:
    return progress.after_epoch({"val_auc": auc}, Speed())


def test_a_phase_has_its_own_patience_and_the_best_epoch_is_of_all_phases() -> None:
    first = _after(_after(Progress(run={}), 0.9), 0.8)
    assert (first.best, first.stale, first.epoch) == (0.9, 1, 2)
    second = first.after_phase()
    assert (second.phase, second.epoch, second.stale) == (1, 0, 0)
    better = _after(_after(second, 0.5), 0.6)
    assert (better.best, better.stale) == (0.9, 0)
    assert _after(better, 0.6).stale == 1
