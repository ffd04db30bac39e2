"""What a process tells Prometheus."""

from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples(port: int | None) -> list[Sample]:
    """All of /metrics at this port of the loopback interface."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        families = text_string_to_metric_families(answer.read().decode())
    return [sample for family in families for sample in family.samples]
