"""Whole model packs of a few hundred kilobytes, the same numbers on every machine, and clips.

"tiny" codes latents, "tiny-motion" frames. Every weight follows from its name through the
counter-based generator of `gencodec.refine.noise`; only what makes a pack a codec is written by
hand: space-time DCTs as linear maps, quantiser steps that fall evenly with the quality index, and a
prior whose scales rise with it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import nn

from gencodec.frames import Frame, VideoInfo, open_sink
from gencodec.packs import Manifest, write_manifest
from gencodec.packs.defaults import Defaults
from gencodec.packs.models import build_networks, save_network
from gencodec.packs.prior import PRIOR
from gencodec.refine.noise import noise_for
from gencodec.symbols import PriorConfig, array_shapes, hyper_tables, symbol_tables
from gencodec.symbols.motion import CONTEXTS
from gencodec.transform import LatentCodec, MotionCodec

STRIDE, CHANNELS, WIDTH = 8, 8, 8
Pixels = NDArray[np.uint8]
Arrays = dict[str, NDArray[np.generic]]

COMPONENTS: Mapping[str, Any] = {
    "autoencoder": {
        "wan": {
            "patch_size": 2,
            "in_channels": 12,
            "out_channels": 12,
            "base_dim": 4,
            "dim_mult": [1, 1, 1],
            "num_res_blocks": 1,
            "temperal_downsample": [True, True],  # diffusers' spelling
            "z_dim": CHANNELS,
            "latents_mean": [0.0] * CHANNELS,
            "latents_std": [10.0, 5.0, 5.0, 4.0, 4.0, 2.0, 2.0, 1.0],
        },
        "linear": {
            "stride": STRIDE,
            "analysis_kernel": 1,
            "synthesis_kernel": 1,
            "network_encoder": False,
        },
    },
    "transform": {
        "channels": CHANNELS,
        "width": WIDTH,
        "depth": 1,
        "hyper_channels": 2,
        "hyper_stride": 4,
        "qualities": 64,
        "nodes": 5,
    },
    "prior": {
        "channels": CHANNELS,
        "hidden": 12,
        "hyper_channels": 2,
        "split": 3,
        "scales": 24,
        "fractions": 2,
    },
    "refiner": {
        "patch_size": [1, 1, 1],
        "num_attention_heads": 1,
        "attention_head_dim": 12,
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "text_dim": 4,
        "freq_dim": 8,
        "ffn_dim": 16,
        "num_layers": 2,
        "vace_layers": [0],
        "vace_in_channels": CHANNELS + WIDTH,
    },
}
MOTION_STRIDE, MOTION_CHANNELS = 16, 10
MOTION_COMPONENTS: Mapping[str, Any] = {
    "autoencoder": {
        "wan": {
            **COMPONENTS["autoencoder"]["wan"],
            "patch_size": 4,
            "in_channels": 48,
            "out_channels": 48,
        },
        "linear": {**COMPONENTS["autoencoder"]["linear"], "stride": MOTION_STRIDE},
        "restorer": {
            "fine_width": 6,
            "fine_depths": [1, 1],
            "coarse_width": 8,
            "coarse_depth": 1,
            "stride": MOTION_STRIDE,
        },
    },
    "transform": {
        "kind": "motion",
        "channels": MOTION_CHANNELS,
        "picture": {"fine_width": 4, "fine_depth": 1, "coarse_width": 8, "coarse_depth": 1},
        "fine_width": 4,
        "fine_depth": 2,
        "coarse_width": 8,
        "coarse_depth": 1,
        "hyper_width": 4,
        "hyper_channels": 2,
        "nodes": 5,
    },
    "prior": {**COMPONENTS["prior"], "channels": MOTION_CHANNELS, "motion": True},
    "refiner": {
        **COMPONENTS["refiner"],
        "residual": True,
        "vace_in_channels": CHANNELS + MOTION_CHANNELS,
    },
}
PACKS: Mapping[str, Mapping[str, Any]] = {"tiny": COMPONENTS, "tiny-motion": MOTION_COMPONENTS}
JUDGED = {**MOTION_COMPONENTS, "judge": {"squeezed": [2] * 7}}
DEFAULTS = Defaults(group_frames=9, group_frames_max=33, steps=1, tile_frames=3, tile_size=6)


def write_pack(folder: Path, name: str = "tiny", defaults: Defaults = DEFAULTS) -> Manifest:
    """Write one of `PACKS`, or "tiny-judged", into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    components = PACKS.get(name, JUDGED)
    networks = build_networks(components)
    (folder / f"{PRIOR}.safetensors").write_bytes(save(exact_arrays(components)))
    for part, network in networks.items():
        fill(network, part)
    with torch.no_grad():
        networks["autoencoder"].wan.decoder.conv_out.weight.mul_(1 / 64)
        if networks["autoencoder"].restorer is not None:
            networks["autoencoder"].restorer.pixels.weight.mul_(1 / 64)
    set_linear_path(networks["autoencoder"].linear)
    set_codec(networks["transform"])
    for part, network in networks.items():
        save_network(network, folder, part)
    document = {
        "name": name,
        "version": "1",
        "licence": "Apache-2.0",
        "use": "any",
        "trained_on": [],
        "components": {**components, "defaults": _written(defaults)},
    }
    return write_manifest(folder, document)


def _written(defaults: Defaults) -> dict[str, Any]:
    """Return the defaults less what these packs do not use, so that they stay the same packs."""
    unused: dict[str, int | None] = {"search_refinement": False, "picture_steps": 0}
    unused |= {"vae_tile": 0, "vae_overlap": 0, "prior_frames": None}
    return {k: v for k, v in asdict(defaults).items() if unused.get(k, ...) != v}


def fill(network: nn.Module, seed: str, gain: float = 1.0) -> None:
    """Give every parameter the numbers that belong to its name; buffers stay."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            values = _values(f"{seed} {name}", tuple(parameter.shape))
            parameter.copy_(gain * torch.from_numpy(values))


def _values(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights of about unit gain, small biases, norms near one; exact in binary."""
    numbers = np.asarray(noise_for(zlib.crc32(name.encode()), 0, shape), np.float32)
    if "norm" in name or "gamma" in name:
        return numbers / np.float32(32) + np.float32("bias" not in name)
    if len(shape) < 2 or name.endswith("bias"):
        return np.asarray(numbers / np.float32(64))
    inputs = int(np.prod(shape[1:]))
    return numbers * np.float32(2.0 ** -round(np.log2(inputs) / 2 + 1))


def set_linear_path(path: Any) -> None:  # noqa: ANN401 - a network
    """Make the linear path an orthonormal DCT of blocks of pixels, and of 4 frames."""
    picture, clip = _basis(path.stride)
    _set_matrix(path.image_analysis, 2 * picture)
    _set_matrix(path.clip_analysis, clip)
    _set_matrix(path.image_synthesis, picture.T / 2)
    _set_matrix(path.clip_synthesis, clip.T)


def _set_matrix(conv: nn.Conv2d, matrix: NDArray[np.float64]) -> None:
    with torch.no_grad():
        conv.weight.zero_()
        if conv.bias is not None:
            conv.bias.zero_()
        middle = conv.kernel_size[0] // 2
        conv.weight[:, :, middle, middle] = torch.from_numpy(matrix)


def _basis(stride: int, count: int = CHANNELS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return orthonormal rows [count, 3·s²] for pictures and [8, 12·s²] for four frames."""
    position = np.arange(stride) + 0.5
    waves = [np.cos(np.pi * k * position / stride) for k in range(3)]
    colours = {"y": (1, 1, 1), "u": (1, 0, -1), "v": (1, -2, 1)}
    terms = [("y", 0, 0), ("u", 0, 0), ("v", 0, 0), ("y", 0, 1), ("y", 1, 0), ("y", 1, 1)]
    terms += [("y", 0, 2), ("y", 2, 0), ("y", 1, 2), ("y", 2, 1)]
    rows = [np.einsum("c,y,x->cyx", colours[c], waves[v], waves[h]) for c, v, h in terms[:count]]
    picture = _unit(np.stack([row.ravel() for row in rows]))
    steady = np.tile(picture[:6], (1, 4))
    frame = np.arange(4) + 0.5
    change = [
        np.concatenate([c * picture[0] for c in np.cos(np.pi * k * frame / 4)]) for k in (1, 2)
    ]
    return picture, _unit(np.concatenate([steady, np.stack(change)]))


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = rows / np.sqrt((rows**2).sum(1, keepdims=True))
    return unit


def set_codec(codec: LatentCodec | MotionCodec) -> None:
    """Make a codec of what `fill` left: its steps fall 2^-1.5 a node, its networks are quiet."""
    nodes = torch.arange(codec.config.nodes, dtype=torch.float32)[:, None]
    falling = 0.6931 * (1 - 1.5 * nodes)  # from 2 to 1/32
    if isinstance(codec, LatentCodec):
        steps, quiet = [codec.log_steps], [*codec.head, codec.predict]
    else:
        picture = _basis(MOTION_STRIDE, MOTION_CHANNELS)[0]
        _set_matrix(codec.picture.linear_analysis, picture)
        _set_matrix(codec.picture.linear_synthesis, picture.T)
        steps = [codec.picture_steps, codec.residual_steps]
        quiet = [codec.picture.coefficients, codec.decision.coefficients]
        quiet += [network.pixels for network in (codec.picture, codec.filter, codec.blend)]
    with torch.no_grad():
        for each in steps:
            each.copy_(falling.expand_as(each))
        for layer in quiet:
            layer.weight.mul_(1 / 32)


def prior_arrays(config: PriorConfig, seed: str = "prior") -> Arrays:
    """Integer arrays of a prior: small random weights, and unit 0 carries the quality index."""
    arrays: Arrays = {}
    for name, shape in array_shapes(config).items():
        numbers = np.round(noise_for(zlib.crc32(f"{seed} {name}".encode()), 0, shape) * 2**10)
        whole = numbers.astype(np.int64)
        if name.endswith("weight"):
            inputs = int(np.prod(shape[-3:])) if len(shape) > 4 else shape[-1]
            arrays[name] = (whole // (8 * max(1, round(inputs**0.5)))).astype(np.int16)
        else:
            arrays[name] = (whole << 4).astype(np.int32)
    _carry_quality(arrays, config)
    return arrays


def _carry_quality(arrays: Arrays, config: PriorConfig) -> None:
    """Make scale = 4 + 3/16 quality, less for channels of less energy, and mean = 0, about."""
    one = 1 << 10
    for name in ("trunk0.weight", "trunk1.weight"):
        weight = arrays[name]
        weight[:, 0] = 0
        if name == "trunk1.weight":
            weight[:, 0, 0, 1, 1] = one
    arrays["trunk0.bias"][:, :, 0] = np.arange(config.qualities, dtype=np.int32) << 16  # q / 4
    arrays["trunk1.bias"][:, 0] = 0
    arrays["ctx.weight"][:, :, 0] = 0
    arrays["ctx.weight"][:, :, 0, 0] = one
    for name in ("step1.weight", "step2.weight", "step3.weight"):
        arrays[name][:, 0] = 0
    arrays["step.bias"][:, :, 0] = 0
    for part, channels in (
        ("out0", range(config.split)),
        ("out1", range(config.split, config.channels)),
    ):
        count = len(channels)
        arrays[f"{part}.weight"][..., :count, 0] = 3 * one // 4
        falling = np.array([(5 << 18) - (c << 17) for c in channels], np.int32)
        arrays[f"{part}.bias"][..., :count] = falling


def exact_arrays(components: Mapping[str, Any] = COMPONENTS) -> Arrays:
    """Everything in a pack's prior file."""
    config = PriorConfig(**components["prior"])
    hyper = [np.array([1, 4, 16, 64, 16, 4, 1]) / 107.0 for _ in range(2 * config.hyper_channels)]
    tables = {**symbol_tables(config), **hyper_tables(config, hyper)}
    if config.motion:
        tables["motion.counts"] = motion_counts()
    return {**prior_arrays(config), **tables}


def motion_counts() -> NDArray[np.uint32]:
    """Zeros and ones of the contexts of motion fields: one in three is a 1, some never seen."""
    contexts = np.arange(CONTEXTS, dtype=np.uint32)
    return np.stack([contexts % 21, contexts % 7], 1)


def picture(width: int, height: int, at: int, scene: int = 0) -> Pixels:
    """Draw frame `at` of a scene: slowly moving waves, and a box that wanders about."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    across, along = (x, y) if scene % 2 else (y, x)
    waves = [
        np.sin((along + at) / (16 - 3 * scene) + scene),
        np.sin((along + at) / (16 - 3 * scene) + 1.4 * scene + 0.4),
        np.cos((across - along + at) / (14 + scene) + 2 * scene),
    ]
    rgb: Pixels = np.stack([np.round(127.5 + 80 * wave) for wave in waves], -1).astype(np.uint8)
    left, top = _bounce(7 * scene + at, width // 2), _bounce(11 * scene + at // 2, height // 2)
    box = rgb[top : top + height // 3, left : left + width // 3]
    box[:] = ((200, 40, 60), (30, 220, 60), (90, 90, 250))[scene % 3]
    return rgb


def _bounce(at: int, length: int) -> int:
    """Walk to and fro between 0 and `length`."""
    return abs((at + length) % (2 * length) - length) if length else 0


def clip(width: int, height: int, frames: int, cuts: Sequence[int] = ()) -> list[Pixels]:
    """Draw a clip whose scene changes at the frames `cuts`."""
    return [picture(width, height, t, sum(t >= cut for cut in cuts)) for t in range(frames)]


def video_info(width: int, height: int, **other: Any) -> VideoInfo:  # noqa: ANN401
    """Describe a clip of 25 frames per second; `other` replaces or adds fields."""
    given: dict[str, Any] = {"time_base": Fraction(1, 25), "frame_rate": Fraction(25), **other}
    return VideoInfo(width=width, height=height, **given)


def write_clip(
    path: Path,
    pictures: Sequence[Pixels],
    ticks: Sequence[int] | None = None,
    **info: Any,  # noqa: ANN401
) -> Path:
    """Write pictures as a video; `info` replaces fields of `VideoInfo`."""
    height, width, _ = pictures[0].shape
    with open_sink(path, video_info(width, height, **info), crf=4) as sink:
        for frame in frames(pictures, ticks):
            sink.write(frame)
    return path


def frames(pictures: Sequence[Pixels], ticks: Sequence[int] | None = None) -> Iterator[Frame]:
    """Yield pictures as frames, one tick apart if nothing else is said."""
    for index, rgb in enumerate(pictures):
        yield Frame(rgb=rgb, ticks=index if ticks is None else ticks[index])
