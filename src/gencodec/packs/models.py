"""From a pack's folder to the networks of every stage, and back. Needs torch.

autoencoder.safetensors   Wan autoencoder and linear path           float16
transform.safetensors     analysis, synthesis, context              float16
prior.safetensors         integer prior and frequency tables        int16, int32, uint16, uint32
refiner.safetensors       diffusion transformer with its adapter    float16
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from gencodec.errors import PackError
from gencodec.execution import Execution
from gencodec.geometry import ANCHOR_PAIRS
from gencodec.latents import Autoencoder, AutoencoderStage, LinearConfig
from gencodec.packs.manifest import GROUP_FRAMES_MAX, Manifest, read_manifest
from gencodec.packs.prior import ExactPack, load_exact
from gencodec.refine import RefineStage, TilePlan, VelocityModel
from gencodec.transform import (
    LatentCodec,
    LatentStage,
    MotionCodec,
    MotionCodecConfig,
    MotionStage,
    Transform,
    TransformConfig,
)
from gencodec.transform.picture import STRIDE

AUTOENCODER, TRANSFORM, REFINER = "autoencoder", "transform", "refiner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What an encoder does with a pack unless told otherwise; all of it is written into the file.

    Attributes:
        group_frames: frames of a group, 4n + 1; fewer where frames are large.
        group_frames_max: the most frames of a group.
        anchor_offset: quality indices the anchor of a group of one latent is better than others.
        anchor_doubling: the same, more for each doubling of the group's latents: an error of the
            anchor stays in all of them.
        steps: refinement steps, 0 for none.
        refine_below: groups of this quality index and above are not refined.
        noise: whether refinement starts from noise mixed into the latents.
        tile_frames, tile_size, tile_overlap: windows of the transformer, in latents; 0 is whole.
    """

    group_frames: int = 129
    group_frames_max: int = GROUP_FRAMES_MAX
    anchor_offset: float = 0.0
    anchor_doubling: float = 0.0
    steps: int = 0
    refine_below: int = 64
    noise: bool = False
    tile_frames: int = 9
    tile_size: int = 48
    tile_overlap: int = 2

    def anchor_pairs(self, latents: int) -> int:
        """Return how much better an anchor before so many latents is, in pairs of indices."""
        low, high = ANCHOR_PAIRS
        indices = self.anchor_offset + self.anchor_doubling * math.log2(latents)
        return min(max(round(indices / 2), low), high)

    @property
    def tiles(self) -> TilePlan:
        """Windows of the transformer."""
        return TilePlan(frames=self.tile_frames, size=self.tile_size, overlap=self.tile_overlap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The learned parts of one pack, ready to run."""

    manifest: Manifest
    autoencoder: AutoencoderStage
    transform: Transform
    exact: ExactPack
    refiner: RefineStage | None
    defaults: Defaults


def load_models(folder: Path, execution: Execution) -> Models:
    """Load a pack after checking every file of it.

    Raises:
        PackError: a file is missing, damaged, or does not fit the architecture it is said to have.
    """
    manifest = read_manifest(folder)
    exact = load_exact(folder)
    networks = load_networks(folder)
    try:
        defaults = Defaults(**manifest.components["defaults"])
    except (KeyError, TypeError, ValueError) as error:
        raise PackError(f"pack {manifest.name}: unusable defaults: {error!r}") from error
    _check_fit(manifest, networks, exact)
    refiner, codec = networks.get(REFINER), networks[TRANSFORM]
    autoencoder = AutoencoderStage(networks[AUTOENCODER], execution)
    stage = MotionStage if isinstance(codec, MotionCodec) else LatentStage
    return Models(
        manifest=manifest,
        autoencoder=autoencoder,
        transform=stage(codec, execution, autoencoder.encode),
        exact=exact,
        refiner=None if refiner is None else RefineStage(refiner, execution),
        defaults=defaults,
    )


def _check_fit(manifest: Manifest, networks: Mapping[str, Any], exact: ExactPack) -> None:
    """Refuse parts that do not fit one another; each alone may be flawless."""
    transform, prior = networks[TRANSFORM].config, exact.prior.config
    sizes = {
        f"{name} of transform and prior": (getattr(transform, name), getattr(prior, name))
        for name in ("channels", "hyper_channels", "hyper_stride", "qualities")
    }
    autoencoder = networks[AUTOENCODER]
    linear = None if autoencoder.linear is None else autoencoder.linear.stride
    if linear is not None:
        sizes["stride of linear path and autoencoder"] = (linear, autoencoder.stride)
    if isinstance(transform, TransformConfig):
        sizes["channels of autoencoder and transform"] = (autoencoder.channels, transform.channels)
    else:
        sizes["stride of linear path and motion codec"] = (linear, STRIDE)
    if REFINER in networks:
        wan = networks[REFINER].wan.config
        sizes["channels of autoencoder and refiner"] = (autoencoder.channels, wan.in_channels)
        condition = autoencoder.channels + transform.width
        sizes["condition of transform and refiner"] = (condition, wan.vace_in_channels)
    for what, (one, other) in sizes.items():
        if one != other:
            raise PackError(f"pack {manifest.name}: {what} differ: {one} and {other}")


def load_networks(folder: Path) -> dict[str, Any]:
    """Return the float networks of a pack by name; its files must have been checked.

    Raises:
        PackError: as `load_models`.
    """
    manifest = read_manifest(folder)
    try:
        networks = build_networks(manifest.components)
    except (KeyError, TypeError, ValueError) as error:
        raise PackError(f"pack {manifest.name}: unusable architecture: {error!r}") from error
    for name, network in networks.items():
        _load(network, folder / f"{name}.safetensors")
    return networks


def build_networks(components: Mapping[str, Any]) -> dict[str, Any]:
    """Make the networks that a manifest's components describe, with fresh weights."""
    linear = components[AUTOENCODER].get("linear")
    networks: dict[str, nn.Module] = {
        AUTOENCODER: Autoencoder(
            components[AUTOENCODER]["wan"], None if linear is None else LinearConfig(**linear)
        ),
        TRANSFORM: build_codec(components[TRANSFORM]),
    }
    if REFINER in components:
        networks[REFINER] = VelocityModel(components[REFINER])
    return networks


def build_codec(component: Mapping[str, Any]) -> LatentCodec | MotionCodec:
    """Make the codec that a manifest describes; `kind` is "motion" or, by default, "latent"."""
    sizes = dict(component)
    kind = sizes.pop("kind", "latent")
    if kind == "motion":
        return MotionCodec(MotionCodecConfig(**sizes))
    if kind == "latent":
        return LatentCodec(TransformConfig(**sizes))
    raise ValueError(f"unknown kind of transform {kind!r}")


def save_network(network: nn.Module, folder: Path, name: str) -> None:
    """Write the weights of a network as float16 `name`.safetensors."""
    state = {key: value.half().contiguous() for key, value in network.state_dict().items()}
    (folder / f"{name}.safetensors").write_bytes(save(state))  # `save_file` ignores the umask


def _load(network: nn.Module, path: Path) -> None:
    try:
        state = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise PackError(f"cannot read {path}: {error}") from error
    try:
        network.load_state_dict({key: value.float() for key, value in state.items()})
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise PackError(f"{path} does not fit the pack's architecture: {reason}") from error
    for parameter in network.parameters():
        if not torch.isfinite(parameter).all():
            raise PackError(f"{path} holds weights that are not finite")
