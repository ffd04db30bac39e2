"""Certificates made on the spot, as files."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Pair:
    cert: Path
    key: Path


class Authority:
    """Signs certificates and writes them below a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._ca, self._folder, self._name = trustme.CA(), folder, name
        self.pem = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.pem))

    def issue(self, name: str, *hosts: str) -> Pair:
        """A new certificate and key in NAME.pem and NAME.key, over what was there."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        issued = self._ca.issue_cert(*(hosts or ("localhost", "127.0.0.1")), common_name=name)
        pair.cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        pair.key.write_bytes(issued.private_key_pem.bytes())
        return pair
