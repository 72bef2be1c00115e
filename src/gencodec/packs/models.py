"""From a pack's folder to the networks of every stage, and back. Needs torch.

autoencoder.safetensors   Wan autoencoder and linear path           float16
transform.safetensors     analysis, synthesis, context              float16
prior.safetensors         integer prior and frequency tables        int16, int32, uint16, uint32
judge.safetensors         what encoders ask how pictures look       float16, only with motion codecs
refiner.safetensors       diffusion transformer with its adapter    float16

A pack of real Wan networks keeps the files of their authors, and what was learned beside them:

vae/*.safetensors, transformer/*.safetensors    as diffusers saves them
adapter.safetensors       of the transformer, in place of one among its files      float16
prompt.safetensors        the empty prompt's embedding, see `prompt.py`            float32
text_encoder/, tokenizer/                       for other prompts
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from gencodec.descent import Judge, JudgeConfig, PictureDescent
from gencodec.errors import PackError
from gencodec.execution import Execution, without_weights
from gencodec.latents import Autoencoder, AutoencoderStage, LinearConfig, RestorerConfig
from gencodec.packs.defaults import Defaults
from gencodec.packs.manifest import Manifest, check_files, read_manifest
from gencodec.packs.prior import ExactPack, load_exact
from gencodec.packs.prompt import read_prompt
from gencodec.packs.text import embed
from gencodec.refine import ADAPTER, PriorFlow, RefineStage, VelocityModel, weight_format
from gencodec.tiles import TilePlan
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

AUTOENCODER, TRANSFORM, REFINER, JUDGE = "autoencoder", "transform", "refiner", "judge"
_PARTS = (AUTOENCODER, TRANSFORM, REFINER, JUDGE)
ADAPTER_FILE = "adapter"
FOREIGN = {AUTOENCODER: "vae", REFINER: "transformer"}  # folders of the networks' own authors


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A pack's autoencoder and flow, which need no codec: what zero-shot coding builds on."""

    manifest: Manifest
    autoencoder: AutoencoderStage
    refiner: RefineStage | None
    defaults: Defaults

    def flow(self, plan: TilePlan) -> PriorFlow:
        """Return the transformer without its condition, as a flow model of latents.

        Transformers that `gencodec train` made learned to see known latent frames clean; those of
        packs with a prompt are their authors', who taught them text alone.

        Args:
            plan: windows that it sees.

        Raises:
            PackError: the pack has no transformer.
        """
        if self.refiner is None:
            raise PackError(
                f"pack {self.manifest.name} has no flow model, which gvc steers; "
                "choose another with --pack, or --profile gnvc-vd"
            )
        return PriorFlow(self.refiner, plan, takes_clean=not self.manifest.has_prompt)

    def with_codec(self) -> Models:
        """Return the same as a pack that codes with `gnvc-vd`.

        Raises:
            PackError: it cannot.
        """
        self.manifest.require_codec()
        return cast("Models", self)  # `load_generator` makes nothing else of a pack with codec


@dataclass(frozen=True, slots=True, kw_only=True)
class Models(Generator):
    """The learned parts of a pack that codes with `gnvc-vd`, ready to run."""

    transform: Transform
    exact: ExactPack
    descent: PictureDescent | None = None


@torch.inference_mode(mode=False)  # the caller's may be on, and descent needs gradients
def load_models(folder: Path, execution: Execution) -> Models:
    """Load a pack after checking every file of it.

    Raises:
        PackError: it has no codec, a file is missing, damaged, or does not fit the architecture it
            is said to have.
    """
    manifest = read_manifest(folder)
    exact = load_exact(folder)
    networks = load_networks(folder, execution.dtype)
    defaults = _defaults(manifest)
    _check_fit(manifest, networks, exact)
    _check_ladder(manifest, networks[TRANSFORM].config, defaults)
    refiner, codec = networks.get(REFINER), networks[TRANSFORM]
    autoencoder = AutoencoderStage(networks[AUTOENCODER], execution, defaults.vae_tiles)
    stage = MotionStage if isinstance(codec, MotionCodec) else LatentStage
    judge = networks.get(JUDGE)
    return Models(
        manifest=manifest,
        autoencoder=autoencoder,
        transform=stage(codec, execution, autoencoder.encode),
        exact=exact,
        refiner=None if refiner is None else RefineStage(refiner, execution),
        defaults=defaults,
        descent=None
        if judge is None
        else PictureDescent(codec, judge.to(execution.device), exact.prior),
    )


def load_generator(folder: Path, execution: Execution, prompt: str = "") -> Generator:
    """Load any pack; with a codec it is whole, that is `Models`.

    Args:
        folder: of the pack.
        execution: where it runs.
        prompt: text for the transformer; most packs know none but the empty one.

    Raises:
        UsageError: the prompt is too long.
        PackError: as `load_models`, or the pack has neither codec nor transformer, or no use for
            the prompt.
    """
    manifest = read_manifest(folder)
    vectors = embed(folder, manifest, prompt) if prompt else None
    load = load_models if manifest.has_codec else _load_generator
    found = load(folder, execution)
    if vectors is not None and found.refiner is not None:
        found.refiner.set_prompt(vectors)
    return found


def _load_generator(folder: Path, execution: Execution) -> Generator:
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    if REFINER not in manifest.components:
        raise PackError(f"pack {manifest.name} has no transformer, so no velocity; choose another")
    networks = load_networks(folder, execution.dtype, (AUTOENCODER, REFINER))
    defaults = _defaults(manifest)
    _check_channels(manifest, networks)
    return Generator(
        manifest=manifest,
        autoencoder=AutoencoderStage(networks[AUTOENCODER], execution, defaults.vae_tiles),
        refiner=RefineStage(networks[REFINER], execution),
        defaults=defaults,
    )


def _defaults(manifest: Manifest) -> Defaults:
    try:
        return Defaults(**manifest.components["defaults"])
    except (KeyError, TypeError, ValueError) as error:
        raise PackError(f"pack {manifest.name}: unusable defaults: {error!r}") from error


def _check_channels(manifest: Manifest, networks: Mapping[str, Any]) -> None:
    """Refuse a transformer of other latents than the autoencoder makes."""
    made, wanted = networks[AUTOENCODER].channels, networks[REFINER].wan.config.in_channels
    if made != wanted:
        raise PackError(
            f"pack {manifest.name}: channels of autoencoder and refiner differ: {made} and {wanted}"
        )


def _check_fit(manifest: Manifest, networks: Mapping[str, Any], exact: ExactPack) -> None:
    """Refuse parts that do not fit one another; each alone may be flawless."""
    transform, prior = networks[TRANSFORM].config, exact.prior.config
    sizes = {
        f"{name} of transform and prior": (getattr(transform, name), getattr(prior, name))
        for name in ("channels", "hyper_channels", "hyper_stride", "qualities")
    }
    kinds = (not isinstance(transform, TransformConfig), prior.motion)
    sizes["motion of transform and prior"] = kinds
    autoencoder = networks[AUTOENCODER]
    linear = None if autoencoder.linear is None else autoencoder.linear.stride
    if linear is not None:
        sizes["stride of linear path and autoencoder"] = (linear, autoencoder.stride)
    if isinstance(transform, TransformConfig):
        sizes["channels of autoencoder and transform"] = (autoencoder.channels, transform.channels)
        if JUDGE in networks:
            raise PackError(f"pack {manifest.name}: latent codecs have no use for a judge")
    else:
        sizes["stride of linear path and motion codec"] = (linear, STRIDE)
    if REFINER in networks:
        _check_channels(manifest, networks)
        wan = networks[REFINER].wan.config
        condition = autoencoder.channels + transform.width
        sizes["condition of transform and refiner"] = (condition, wan.get("vace_in_channels"))
    for what, (one, other) in sizes.items():
        if one != other:
            raise PackError(f"pack {manifest.name}: {what} differ: {one} and {other}")


def _check_ladder(
    manifest: Manifest, transform: TransformConfig | MotionCodecConfig, defaults: Defaults
) -> None:
    """Refuse rungs of half-size pictures that the codec cannot code."""
    rungs, top = defaults.half_below, transform.qualities - defaults.half_shift
    if rungs and not isinstance(transform, MotionCodecConfig):
        raise PackError(f"pack {manifest.name}: latent codecs code no half-size pictures")
    for name, value in (("half_below", rungs), ("half_tried_below", defaults.half_tried_below)):
        if not 0 <= value <= top:
            raise PackError(f"pack {manifest.name}: {name} is {value}, must be 0 .. {top}")


def load_networks(
    folder: Path,
    dtype: torch.dtype = torch.float32,
    parts: Iterable[str] = _PARTS,
) -> dict[str, Any]:
    """Return the float networks of a pack by name; its files must have been checked.

    Args:
        folder: of the pack.
        dtype: number format of most of the transformer's weights; all others are float32.
        parts: names of the networks wanted.

    Raises:
        PackError: as `load_models`.
    """
    manifest = read_manifest(folder)
    try:
        networks = build_networks(manifest.components, parts, empty=True)
    except (KeyError, TypeError, ValueError) as error:
        raise PackError(f"pack {manifest.name}: unusable architecture: {error!r}") from error
    for name, network in networks.items():
        _load(network, folder, manifest, name, dtype)
    if REFINER in networks and manifest.has_prompt:
        networks[REFINER].set_prompt(torch.from_numpy(read_prompt(folder, manifest)))
    return networks


def build_networks(
    components: Mapping[str, Any],
    parts: Iterable[str] = _PARTS,
    *,
    empty: bool = False,
) -> dict[str, Any]:
    """Make the networks that a manifest's components describe, with fresh weights.

    Args:
        components: of the manifest.
        parts: names of the networks wanted; refiner and judge may be missing.
        empty: leave the transformer without numbers, to be loaded.
    """
    networks: dict[str, nn.Module] = {}
    if AUTOENCODER in parts:
        networks[AUTOENCODER] = _build_autoencoder(components[AUTOENCODER])
    if TRANSFORM in parts:
        networks[TRANSFORM] = build_codec(components[TRANSFORM])
    if REFINER in parts and REFINER in components:
        networks[REFINER] = _build_refiner(components, empty=empty)
    if JUDGE in parts and JUDGE in components:
        networks[JUDGE] = Judge(JudgeConfig(**components[JUDGE]))
    return networks


def _build_autoencoder(component: Mapping[str, Any]) -> Autoencoder:
    linear, restorer = component.get("linear"), component.get("restorer")
    return Autoencoder(
        component["wan"],
        None if linear is None else LinearConfig(**linear),
        None if restorer is None else RestorerConfig(**restorer),
    )


def _build_refiner(components: Mapping[str, Any], *, empty: bool) -> VelocityModel:
    length = int(components.get("prompt", {}).get("length", 1))
    if not empty:
        return VelocityModel(components[REFINER], prompt_length=length)
    with without_weights():
        model = VelocityModel(components[REFINER], prompt_length=length)
    model.wake()
    return model


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
    idle = network.idle() if isinstance(network, VelocityModel) else {}
    state = {k: v.half().contiguous() for k, v in network.state_dict().items() if k not in idle}
    (folder / f"{name}.safetensors").write_bytes(save(state))  # `save_file` ignores the umask


def _load(
    network: nn.Module, folder: Path, manifest: Manifest, name: str, dtype: torch.dtype
) -> None:
    """Load a network from its authors' files, where the pack has those, or from its own."""
    foreign = manifest.files_in(FOREIGN[name]) if name in FOREIGN else []
    files = foreign or [f"{name}.safetensors"]
    target = network.get_submodule("wan") if foreign else network
    state: dict[str, Tensor] = {}
    for file in [*files, *manifest.files_in(ADAPTER_FILE)] if name == REFINER else files:
        state |= _read(folder / file)
        if foreign and file in foreign and not _keeps_adapter(manifest):
            state = {key: v for key, v in state.items() if not key.startswith(ADAPTER)}
    if isinstance(network, VelocityModel) and not foreign:
        state = {key: torch.zeros(shape) for key, shape in network.idle().items()} | state
    for key, value in state.items():
        wanted = weight_format(key, dtype) if name == REFINER else torch.float32
        state[key] = value.to(wanted)
    try:
        target.load_state_dict(state, assign=name == REFINER)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        where = folder / files[0]
        raise PackError(f"{where} does not fit the pack's architecture: {reason}") from error
    for parameter in target.parameters():
        if not torch.isfinite(parameter).all():
            raise PackError(f"{folder / files[0]} holds weights that are not finite")


def _keeps_adapter(manifest: Manifest) -> bool:
    """Whether the adapter among the authors' files is the pack's."""
    own = manifest.files_in(ADAPTER_FILE)
    return not own and "vace_layers" in manifest.components[REFINER]


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise PackError(f"cannot read {path}: {error}") from error
