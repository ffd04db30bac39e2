from clients.predictions import prediction
from deepfake.v1 import detector_pb2 as pb


def test_without_evidence_there_is_no_probability() -> None:
    answer = pb.DetectResponse(
        verdict=pb.VERDICT_INCONCLUSIVE, inconclusive_reason=pb.INCONCLUSIVE_REASON_NO_EVIDENCE
    )
    found = prediction("a.mp4", answer)
    assert (found.verdict, found.reason) == ("INCONCLUSIVE", "NO_EVIDENCE")
    assert found.fake_probability is None
