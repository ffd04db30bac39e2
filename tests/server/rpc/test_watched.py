from pathlib import Path

from server.rpc.watched import Watched


def test_a_file_that_is_only_later_given_to_the_server_is_read_then(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("x")
    watched = Watched(path)
    assert not watched.changed()
    path.chmod(0o640)
    assert watched.changed()
