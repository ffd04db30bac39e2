"""Which addresses a server may be made to connect to."""

import ipaddress

_UNICAST = ipaddress.ip_network("2000::/3")
_REFUSED = (
    # Teredo and 6to4: with an IPv4 address inside that nobody would check.
    ipaddress.ip_network("2001::/32"),
    ipaddress.ip_network("2002::/16"),
    # For protocols; Python's own table depends on its version.
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
)


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the open internet: not this machine, its network, or nobody."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if any(address in network for network in _REFUSED):
        return False
    return address.version == 4 or address in _UNICAST
