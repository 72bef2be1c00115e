"""The process that runs one encode or decode: `process` starts it and reads its answer."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import av

from gencodec.errors import SourceError
from gencodec.frames import Frame, VideoInfo, open_source
from gencodec.frames.lossless import LosslessSink
from gencodec.peers.codecs import Peer, Row, find_peer, find_row
from gencodec.peers.memory import peak_bytes
from gencodec.peers.process import Decoded, Encoded

Request = dict[str, Any]


def main() -> None:
    """Do what stdin asks for and write the answer; a failure is an answer, too."""
    request = json.load(sys.stdin)
    try:
        answer = JOBS[request["job"]](request)
    except Exception as error:  # noqa: BLE001 - any failure of a codec is a row of the table
        text = " ".join(str(error).split()) or type(error).__name__
        answer = {"error": text}
    Path(request["answer"]).write_text(json.dumps(answer), "utf-8")


def encode(request: Request) -> Encoded:
    """Code a video."""
    name, source, output = request["codec"], Path(request["source"]), Path(request["output"])
    if name.partition(":")[0] == "gencodec":
        return _encode_row(find_row(name), source, output, request)
    return _encode_peer(find_peer(name), source, output, request)


def _encode_peer(peer: Peer, source: Path, output: Path, request: Request) -> Encoded:
    setting, threads = request["setting"], request["threads"]
    if peer.runner == "library":
        from gencodec.peers import library

        started = time.perf_counter()
        size = library.encode(
            peer.encoder, setting, source, output, half=peer.half, threads=threads
        )
    else:
        from gencodec.peers import programs

        programs.find_program(peer.runner)  # before the pictures are written
        y4m = programs.write_y4m(peer, source, output.with_suffix(".y4m"))
        started = time.perf_counter()
        size = programs.encode(peer, setting, y4m, output, threads=threads)
        y4m.unlink()
    return Encoded(
        bytes=size,
        setting=", ".join(f"{k} {v}" for k, v in peer.encoder.dial.options(setting).items()),
        seconds=time.perf_counter() - started,
        peak_bytes=peak_bytes(),
    )


def _encode_row(row: Row, source: Path, output: Path, request: Request) -> Encoded:
    from gencodec.codec import encode as encode_video
    from gencodec.effort import USUAL_EFFORT
    from gencodec.gvc import GvcSettings
    from gencodec.rate import Target

    result = encode_video(
        source,
        output,
        target=Target(bpp=request["setting"]),
        gop=row.gop,
        pack=row.pack or request["pack"],
        device=request["device"],
        threads=request["threads"],
        overwrite=True,
        effort=USUAL_EFFORT if row.effort is None else row.effort,
        defaults=row.defaults,
        gvc=None if row.gvc is None else GvcSettings(**cast("dict[str, Any]", row.gvc)),
    )
    what, unit = (result.quality, "quality") if result.atoms is None else (result.atoms, "atoms")
    low, high = (f"{end:.3g}" for end in what)
    return Encoded(
        bytes=result.bytes,
        setting=f"{unit} {low}" if low == high else f"{unit} {low} to {high}",
        seconds=result.encode_seconds,
        peak_bytes=peak_bytes(),
    )


def decode(request: Request) -> Decoded:
    """Decode a stream to a lossless file; only what decodes is timed, loading of networks too."""
    name, stream, source = request["codec"], Path(request["stream"]), Path(request["source"])
    row = name.partition(":")[0] == "gencodec"
    ticks = [] if row else _ticks(source)
    started = time.perf_counter()
    if row:
        info, frames = _row_frames(find_row(name), stream, request)
    else:
        info, frames = _peer_frames(find_peer(name), stream, source, ticks, request["threads"])
    seconds, count = 0.0, 0
    with LosslessSink(Path(request["output"]), info) as sink:
        for frame in frames:
            seconds += time.perf_counter() - started
            sink.write(frame.rgb, frame.ticks)
            count += 1
            started = time.perf_counter()
    seconds += time.perf_counter() - started
    return Decoded(frames=count, seconds=seconds, peak_bytes=peak_bytes())


def _row_frames(row: Row, stream: Path, request: Request) -> tuple[VideoInfo, Iterator[Frame]]:
    from gencodec.decoding import Decoder
    from gencodec.execution import Execution

    execution = Execution.choose(request["device"], threads=request["threads"])
    coded = io.BytesIO(stream.read_bytes())
    decoder = Decoder(coded, execution, steps=0 if row.base else None)
    return decoder.info, decoder.frames(decoder.records(None, None))


def _peer_frames(
    peer: Peer, stream: Path, source: Path, ticks: list[int], threads: int
) -> tuple[VideoInfo, Iterator[Frame]]:
    """Return what is shown, and the frames with the times of the source's."""
    from gencodec.peers import library
    from gencodec.peers.pictures import Geometry

    with open_source(source) as video:
        info = video.info
    geometry = Geometry.of(info, half=peer.half, depths=peer.encoder.depths)
    kind = peer.encoder.stream

    def frames() -> Iterator[Frame]:
        number = -1
        for number, rgb in enumerate(library.decode(kind, stream, geometry, threads=threads)):
            yield Frame(rgb=rgb, ticks=ticks[min(number, len(ticks) - 1)])
        if number + 1 != len(ticks):
            raise SourceError(f"{number + 1} frames were decoded, {len(ticks)} were coded")

    return info, frames()


def _ticks(source: Path) -> list[int]:
    """Return the times of a lossless file's frames, without decoding them."""
    with av.open(f"file:{source}") as container:
        times = [packet.pts for packet in container.demux(video=0)]
    return sorted(time for time in times if time is not None)


JOBS: Mapping[str, Callable[[Request], dict[str, Any]]] = {
    "encode": lambda request: asdict(encode(request)),
    "decode": lambda request: asdict(decode(request)),
}
"""What can be asked for, and the answer as JSON types."""


if __name__ == "__main__":
    main()
