import pytest

from open_inference.v2 import inference_pb2 as pb
from server.engine.manifest import Manifest
from server.engine.statistics import Statistics
from server.rpc.open_inference import description


def test_statistics_are_in_the_units_of_the_protocol(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Statistics()
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.25)
    done.ran(2, waited=0.5, seconds=0.25)
    done.ran(1, waited=0.125, seconds=0.0625)
    done.failed(2.0)
    (model,) = description.statistics(manifest, done.figures).model_stats
    assert (model.inference_count, model.execution_count) == (3, 2)
    assert model.last_inference == 1_700_000_000_250  # milliseconds
    stats = model.inference_stats
    spent = {kind.name: (value.count, value.ns) for kind, value in stats.ListFields()}
    assert spent == {
        "success": (3, 1_187_500_000),
        "fail": (1, 2_000_000_000),
        "queue": (3, 625_000_000),
        "compute_input": (3, 0),
        "compute_infer": (3, 562_500_000),
        "compute_output": (3, 0),
    }
    alone, shared = model.batch_stats
    assert (alone.batch_size, alone.compute_infer) == (1, pb.StatisticDuration(count=1, ns=62_500_000))
    assert (shared.batch_size, shared.compute_infer) == (2, pb.StatisticDuration(count=1, ns=250_000_000))
