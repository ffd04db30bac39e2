import asyncio
import gc
import shutil
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.engine.engine import Engine
from server.engine.reload import Reloader
from server.engine.repository import Repository, Version
from server.engine.session import Session
from server.errors import EngineFailed, InvalidModel
from tests.tiny_graph import NAME, put_version, tiny_detector
from tests.waiting import until_async


class Loader:
    """Loads graphs, and counts what was tried and what is open."""

    def __init__(self) -> None:
        self.tried: list[str] = []
        self.open = 0
        self.most = 0

    def __call__(self, graph: Path) -> Engine:
        self.tried.append(graph.parent.name)
        engine = _Counted(Session(graph, "cpu"), self)
        self.open += 1
        self.most = max(self.most, self.open)
        return engine


class _Counted(Engine):
    def __init__(self, session: Session, loader: Loader) -> None:
        super().__init__(session, workers=1)
        self._loader = loader

    def close(self) -> None:
        super().close()
        self._loader.open -= 1


@asynccontextmanager
async def reloading(
    folder: Path, loader: Loader, poll_seconds: float = 0.01, pinned: str | None = None
) -> AsyncIterator[Reloader]:
    reloader = Reloader(Repository(folder, pinned=pinned), loader)
    task = asyncio.create_task(reloader.run(poll_seconds))
    try:
        yield reloader
    finally:
        reloader.stop()
        await asyncio.wait_for(task, 30)
        reloader.live.close()
        assert loader.open == 0


def serves(reloader: Reloader, version: str) -> Callable[[], bool]:
    return lambda: reloader.live.current.manifest.version == version


def put_broken(folder: Path, version: str) -> None:
    file = folder / NAME / version / "model.onnx"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"no graph")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put_version(tmp_path / "models", "1")
    return tmp_path / "models"


async def test_a_higher_version_takes_over_and_the_old_engine_is_closed(folder: Path) -> None:
    loader = Loader()
    async with reloading(folder, loader) as reloader:
        assert serves(reloader, "1")()
        put_version(folder, "2")
        await until_async(serves(reloader, "2"))
        put_version(folder, "10")
        await until_async(serves(reloader, "10"))
        await until_async(lambda: loader.open == 1)
        assert reloader.available == ["10", "2", "1"]
        assert (reloader.swaps, reloader.failures) == (2, 0)
    assert loader.most == 2


async def test_who_began_on_an_engine_ends_on_it_and_a_third_one_waits(folder: Path) -> None:
    loader = Loader()
    async with reloading(folder, loader) as reloader:
        with reloader.live.borrowed():
            pass  # one that ends before says nothing of those that do not
        with reloader.live.borrowed() as old:
            with reloader.live.borrowed():  # nor does one that ends later
                put_version(folder, "2")
                await until_async(serves(reloader, "2"))
            put_version(folder, "3")
            await asyncio.sleep(0.1)
            assert old.manifest.version == "1"
            assert "3" not in reloader.available  # nobody has looked
            assert loader.open == 2
            assert serves(reloader, "2")()
        await until_async(serves(reloader, "3"))
    assert loader.most == 2


async def test_a_version_that_fails_is_tried_once_and_again_when_its_file_changes(folder: Path) -> None:
    loader = Loader()
    async with reloading(folder, loader) as reloader:
        put_broken(folder, "2")
        await until_async(lambda: reloader.failures == 1)
        await asyncio.sleep(0.1)
        assert loader.tried == ["1", "2"]
        assert serves(reloader, "1")()
        put_version(folder, "2")
        await until_async(serves(reloader, "2"))


async def test_removing_the_newest_version_goes_back_to_the_one_before(folder: Path) -> None:
    put_version(folder, "2")
    async with reloading(folder, Loader()) as reloader:
        assert serves(reloader, "2")()
        shutil.rmtree(folder / NAME / "2")
        await until_async(serves(reloader, "1"))
        shutil.rmtree(folder / NAME / "1")
        await until_async(lambda: reloader.available == [])
        assert serves(reloader, "1")()


@pytest.mark.parametrize("change", ["touched", "broken", "renamed over"])
async def test_a_change_to_what_serves_brings_no_older_version_back(folder: Path, change: str) -> None:
    put_version(folder, "2")
    graph = folder / NAME / "2" / "model.onnx"
    loader = Loader()
    async with reloading(folder, loader, poll_seconds=0.02) as reloader:
        assert serves(reloader, "2")()
        if change == "touched":
            graph.touch()
        elif change == "broken":
            put_broken(folder, "2")
        else:
            graph.with_name("new").write_bytes(graph.read_bytes())
            graph.with_name("new").rename(graph)
        await until_async(lambda: loader.tried.count("2") == 2)
        await asyncio.sleep(0.2)
        assert serves(reloader, "2")()
        assert "1" not in loader.tried


async def test_a_copy_in_progress_is_left_alone_until_it_is_whole(folder: Path) -> None:
    loader = Loader()
    whole = tiny_detector(folder.parent / "staging", version="2").read_bytes()
    target = folder / NAME / "2" / "model.onnx"
    target.parent.mkdir()
    async with reloading(folder, loader, poll_seconds=0.1) as reloader:
        with target.open("wb", buffering=0) as file:
            for start in range(0, len(whole), len(whole) // 20):
                file.write(whole[start : start + len(whole) // 20])
                await asyncio.sleep(0.02)
        await until_async(serves(reloader, "2"))
    assert reloader.failures == 0


def test_a_version_that_fails_does_not_stay_in_memory(folder: Path) -> None:
    put_version(folder, "2")
    loaded = {}

    def load(graph: Path) -> Engine:
        session = Session(graph, "cpu")
        loaded[graph.parent.name] = weakref.ref(session)
        if graph.parent.name == "1":
            return Engine(session, workers=1)
        try:
            raise RuntimeError("no kernel")
        except RuntimeError as error:
            raise InvalidModel("it cannot be run") from error

    reloader = Reloader(Repository(folder), load)
    assert {version: session() is None for version, session in loaded.items()} == {"2": True, "1": False}
    reloader.live.close()


def test_neither_does_one_for_which_no_worker_has_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_version(folder, "2")
    loaded = {}

    def load(graph: Path) -> Engine:
        session = Session(graph, "cpu")
        loaded[graph.parent.name] = weakref.ref(session)
        return Engine(session, workers=2)

    def attach(session: Session) -> None:
        if session.manifest.version == "2":
            raise EngineFailed("the device has no room")

    monkeypatch.setattr(Session, "attach", attach)
    gc.collect()
    gc.disable()
    try:
        reloader = Reloader(Repository(folder), load)
        assert {version: session() is None for version, session in loaded.items()} == {"2": True, "1": False}
    finally:
        gc.enable()
    reloader.live.close()


@pytest.mark.parametrize(("error", "traced"), [(InvalidModel("no graph"), False), (KeyError("rows"), True)])
def test_the_log_says_where_what_nobody_expected_came_from(
    folder: Path, error: Exception, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def load(_: Path) -> Engine:
        raise error

    with pytest.raises(type(error)):
        Reloader(Repository(folder), load)
    assert f"version 1 is not served: {error}" in caplog.text
    assert ("in load" in caplog.text) == traced


async def test_asked_to_look_it_looks_at_once_and_retries_what_failed(folder: Path) -> None:
    loader = Loader()
    async with reloading(folder, loader, poll_seconds=0) as reloader:
        put_broken(folder, "2")
        await asyncio.sleep(0.1)
        assert reloader.available == ["1"]
        for failures in (1, 2):
            reloader.look_now()
            await until_async(lambda: reloader.failures == failures)  # noqa: B023 - used at once
        put_version(folder, "2")
        reloader.look_now()
        await until_async(serves(reloader, "2"))


async def test_a_pinned_version_stays(folder: Path) -> None:
    async with reloading(folder, Loader(), pinned="1") as reloader:
        put_version(folder, "2")
        await asyncio.sleep(0.1)
        assert serves(reloader, "1")()


async def test_at_the_start_the_highest_version_that_works_serves(folder: Path) -> None:
    put_broken(folder, "2")
    async with reloading(folder, Loader()) as reloader:
        assert serves(reloader, "1")()


async def test_without_any_that_works_there_is_no_start(folder: Path) -> None:
    put_broken(folder, "1")
    with pytest.raises(InvalidModel):
        Reloader(Repository(folder), Loader())


async def test_a_look_that_fails_is_not_the_last(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with reloading(folder, Loader()) as reloader:
        failed = asyncio.Event()

        def fail(_: Repository) -> list[Version]:
            failed.set()
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(Repository, "versions", fail)
            await until_async(failed.is_set)
        put_version(folder, "2")
        await until_async(serves(reloader, "2"))
