"""Metrics that FFmpeg computes: XPSNR inside this process, VMAF in an `ffmpeg` that has it."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av import VideoFrame
from av.filter import Graph

from gencodec.evaluation.metrics.meter import LOSSLESS, Meter, MetricError, Setting
from gencodec.evaluation.pairing import Pair
from gencodec.frames import Pixels

_MATRICES = {1: "bt709", 9: "bt2020nc"}  # H.273 code -> swscale's name; all others BT.601
_XPSNR_SIDE = 45  # below 45x45 the filter's blocks have no pixels, and it divides by their number
_SECONDS = 30  # an `ffmpeg` that is asked what it can do has to answer within


class Xpsnr(Meter):
    """XPSNR of luma in dB; the mean is that of the distances, as in the original.

    Source: Helmrich et al., "XPSNR: a low-complexity extension of the perceptually weighted peak
    signal-to-noise ratio", ICASSP 2020; FFmpeg's filter.
    """

    NAMES = ("xpsnr_y",)
    _KEY = "lavfi.xpsnr.xpsnr.y"

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        super().__init__(names)
        setting.require(_XPSNR_SIDE)
        self._graph = Graph()
        try:
            compare = self._graph.add("xpsnr")
        except ValueError as error:
            raise MetricError("the FFmpeg of the av package has no filter xpsnr") from error
        self._inputs = []
        for place in (0, 1):
            shape = f"video_size={setting.width}x{setting.height}:pix_fmt=rgb24"
            buffer = self._graph.add(
                "buffer", f"{shape}:time_base={1 / setting.rate}:frame_rate={setting.rate}"
            )
            scale = self._graph.add("scale", _to_yuv(setting))
            chroma = self._graph.add("format", "pix_fmts=yuv420p")
            self._graph.link_nodes(buffer, scale, chroma)
            chroma.link_to(compare, 0, place)
            self._inputs.append(buffer)
        self._graph.link_nodes(compare, self._graph.add("buffersink")).configure()
        self._time_base = 1 / setting.rate

    def add(self, pair: Pair) -> None:
        """Compare one frame."""
        pictures = (pair.reference, pair.distorted)  # what is seen is judged by the first
        for place, picture in zip(self._inputs, pictures, strict=True):
            place.push(_picture(picture, pair.index, self._time_base))
        self._take()

    def finish(self) -> None:
        """Take what is left, and the mean."""
        for place in self._inputs:
            place.push(None)
        self._take()
        series = self.series["xpsnr_y"]
        if series.values:
            distances = [10 ** (-value / 20) for value in series.values]
            series.mean = -20 * math.log10(sum(distances) / len(distances))

    def _take(self) -> None:
        while True:
            try:
                done = self._graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                return
            value = float(done.metadata[self._KEY])  # infinite for equal pictures
            self._note(done.pts or 0, xpsnr_y=min(value, LOSSLESS))


class Vmaf(Meter):
    """VMAF of libvmaf's default model, computed by the `ffmpeg` on the PATH.

    Each pair goes down one pipe as a picture of double height, the source on top.
    """

    NAMES = ("vmaf",)
    _LOG = "vmaf.json"

    def __init__(self, names: Sequence[str], setting: Setting) -> None:
        super().__init__(names)
        program = _ffmpeg_with("libvmaf")
        with ExitStack() as held:
            self._folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
            self._said = held.enter_context((self._folder / "said.txt").open("w+b"))
            self._process = subprocess.Popen(  # noqa: S603
                [program, *self._arguments(setting)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                cwd=self._folder,  # so that the name of the log needs no escaping
            )
            held.callback(self._stop)
            self._held = held.pop_all()

    def add(self, pair: Pair) -> None:
        """Hand one frame over."""
        if self._process.stdin is None or self._process.stdin.closed:
            return
        try:
            for picture in (pair.reference, pair.distorted):
                self._process.stdin.write(picture.tobytes())
        except OSError:  # it died: `finish` says why
            self._end_input()

    def finish(self) -> None:
        """Wait for the last frame and read the values."""
        self._end_input()
        if self._process.wait():
            raise MetricError(f"ffmpeg failed: {self._last_words()}")
        try:
            log = json.loads((self._folder / self._LOG).read_text())
            for frame in log["frames"]:
                self._note(int(frame["frameNum"]), vmaf=float(frame["metrics"]["vmaf"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MetricError(f"ffmpeg's log of VMAF cannot be read: {error}") from error

    def close(self) -> None:
        """End the process and remove its log."""
        self._held.close()

    def _arguments(self, setting: Setting) -> list[str]:
        size = f"{setting.width}x{2 * setting.height}"
        half = f"crop=iw:{setting.height}:0:"
        convert = f"scale={_to_yuv(setting)},format=yuv420p"
        graph = (
            f"[0:v]split[a][b];[a]{half}0,{convert}[source];"
            f"[b]{half}{setting.height},{convert}[shown];"
            f"[shown][source]libvmaf=log_fmt=json:log_path={self._LOG}"
        )
        reading = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size]
        quiet = ["-hide_banner", "-nostdin", "-loglevel", "error"]
        rate = ["-framerate", str(setting.rate), "-i", "pipe:0"]
        return [*quiet, *reading, *rate, "-lavfi", graph, "-f", "null", "-"]

    def _end_input(self) -> None:
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:  # it died with frames still in the pipe
                return

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"

    def _stop(self) -> None:
        self._end_input()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def _ffmpeg_with(name: str) -> str:
    """Return the path of an `ffmpeg` that has a filter.

    Raises:
        MetricError: there is none.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise MetricError(f"no ffmpeg is on the PATH; install one with {name}")
    try:
        listed = subprocess.run(  # noqa: S603
            [program, "-hide_banner", "-filters"],
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        raise MetricError(f"{program} cannot be run: {error}") from error
    if name not in listed.split():
        raise MetricError(f"{program} has no {name}; install an ffmpeg that has")
    return program


def _to_yuv(setting: Setting) -> str:
    matrix = _MATRICES.get(setting.matrix, "smpte170m")
    return f"out_color_matrix={matrix}:out_range=tv:flags=bicubic+accurate_rnd"


def _picture(rgb: Pixels, number: int, time_base: Fraction) -> VideoFrame:
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    frame.pts, frame.time_base = number, time_base
    return frame
