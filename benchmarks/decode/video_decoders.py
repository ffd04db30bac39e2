"""What takes five frames of 256 × 256 pixels out of a video: ours, and what else there is."""

import importlib
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.decode.decoder import (
    LIMITS,
    RGB,
    SIDE,
    Decode,
    Decoder,
    in_process,
    installed,
    opencv,
    pooled,
)
from benchmarks.decode.videos import Video
from benchmarks.material.media import FRAME_RATE
from server.engine.cores import usable_cores
from server.media.decode import decode
from server.media.pixels import PixelConverter
from server.media.types import RowSpec

FRAMES = 5
_SPEC = RowSpec(height=SIDE, width=SIDE, frames=FRAMES, want_clips=False, want_audio=False)


def video_decoders(video: Video) -> tuple[list[Decoder], list[str]]:
    """Those for this video, the first being ours, and the names of those not installed."""
    wanted = _wanted(video)
    found = [
        _ours("ours, in process", 1),
        _ours("ours, its threads", usable_cores()),
        pooled("ours, pool", _SPEC, Path.read_bytes, slice(None)),
    ]
    others, missing = installed((_opencv, _decord, _ffmpeg), wanted)
    return [*found, *others], missing


def _ours(name: str, threads: int) -> Decoder:
    limits = replace(LIMITS, max_threads=threads)
    return in_process(name, lambda path: decode(path.read_bytes(), _SPEC, limits).frames)


def reference(path: Path, video: Video) -> RGB:
    """The wanted frames, after decoding all."""
    wanted, converter, frames = set(_wanted(video).tolist()), PixelConverter(), []
    with av.open(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                frames.append(converter.scaled(frame, SIDE, SIDE))
    return np.stack(frames)


def _wanted(video: Video) -> NDArray[np.int64]:
    """Numbers of the frames on screen at the centres of equal parts of the video."""
    return ((np.arange(FRAMES) + 0.5) / FRAMES * video.frames).astype(np.int64)


def _opencv(wanted: NDArray[np.int64]) -> list[Decoder]:
    cv2, shrunk = opencv()

    def read(path: Path) -> RGB:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        frames = []
        for number in wanted:
            capture.set(cv2.CAP_PROP_POS_FRAMES, int(number))
            frames.append(shrunk(capture.read()[1])[..., ::-1])
        capture.release()
        return np.stack(frames)

    return [in_process("OpenCV, seeking", read)]


def _decord(wanted: NDArray[np.int64]) -> list[Decoder]:
    decord = importlib.import_module("decord")

    def read(path: Path) -> RGB:
        reader = decord.VideoReader(str(path), width=SIDE, height=SIDE, num_threads=1)
        frames: RGB = reader.get_batch(wanted.tolist()).asnumpy()
        return frames

    return [in_process("decord", read)]


def _ffmpeg(wanted: NDArray[np.int64]) -> list[Decoder]:
    program = _ffmpeg_program()
    # Seeking gives the first frame from that time on: a little earlier, for the clock's rounding.
    times = [f"{number / FRAME_RATE - 0.005:.3f}" for number in wanted]
    scale = f"scale={SIDE}:{SIDE}:flags=area"

    def run(*arguments: str) -> bytes:
        command = [program, "-v", "error", "-nostdin", *arguments, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def five_runs(path: Path) -> RGB:
        cut = ("-frames:v", "1", "-vf", scale)
        return _pixels(b"".join(run("-threads", "1", "-ss", t, "-i", str(path), *cut) for t in times))

    def one_run(threads: int) -> Decode:
        def read(path: Path) -> RGB:
            inputs = [part for t in times for part in ("-threads", str(threads), "-ss", t, "-i", str(path))]
            heads = [f"[{n}:v]trim=end_frame=1,{scale}[{n}]" for n in range(len(times))]
            joined = "".join(f"[{n}]" for n in range(len(times))) + f"concat=n={len(times)}"
            graph = ";".join([*heads, joined])
            return _pixels(
                run(*inputs, "-filter_complex", graph, "-frames:v", str(FRAMES), "-fps_mode", "passthrough")
            )

        return read

    return [
        in_process("ffmpeg, a run a frame", five_runs),
        in_process("ffmpeg, one run", one_run(1)),
        in_process("ffmpeg, one run, its threads", one_run(0)),
    ]


def _ffmpeg_program() -> str:
    if program := shutil.which("ffmpeg"):
        return program
    find: Callable[[], str] = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe
    return find()


def _pixels(raw: bytes) -> RGB:
    return np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 3)
