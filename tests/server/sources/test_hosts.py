import pytest

from server.sources import hosts


@pytest.mark.parametrize(
    ("named", "host", "wanted"),
    [
        ("media.example", "media.example", True),
        ("MEDIA.example:443", "media.example", True),
        ("*.media.example", "a.media.example", True),
        ("*.media.example", "media.example", False),
        ("*", "anything.example", True),
        ("b\u00fccher.example", "xn--bcher-kva.example", True),
        ("*.b\u00fccher.example", "a.xn--bcher-kva.example", True),
        ("[2606:4700::1]", "2606:4700::1", True),
    ],
)
def test_hosts_are_known_by_the_names_of_dns(named: str, host: str, wanted: bool) -> None:
    name, port = hosts.parse(named)
    assert hosts.matches(name, host) is wanted
    assert port == hosts.HTTPS_PORT
