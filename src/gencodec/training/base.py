"""Packs that are taught a codec: published networks stay as they are, an adapter is added.

The adapter is a copy of some of the transformer's blocks, or the one its authors trained, behind an
input of its own for the codec's features; entry and exits start at zero, so that nothing changes.

Source: VACE, arXiv 2503.07598; GNVC-VD, arXiv 2512.05016 (a frozen prior with trained adapters).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from gencodec.execution import without_weights
from gencodec.packs import read_manifest
from gencodec.packs.manifest import PROMPT
from gencodec.packs.models import ADAPTER_FILE, AUTOENCODER, FOREIGN, REFINER, load_networks
from gencodec.packs.prompt import read_prompt
from gencodec.refine import ADAPTER, VelocityModel

_INPUT = f"{ADAPTER}patch_embedding"


def based_components(folder: Path, components: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's components on the networks of the pack in `folder`."""
    base = read_manifest(folder).components
    refiner = {**base[REFINER], **components[REFINER]}
    return {
        **components,
        AUTOENCODER: base[AUTOENCODER],
        REFINER: refiner,
        "prompt": base["prompt"],
    }


def based_networks(folder: Path, components: Mapping[str, Any]) -> dict[str, Any]:
    """Return autoencoder and transformer of the pack in `folder`, with a fresh adapter."""
    networks = load_networks(folder, parts=(AUTOENCODER,))
    manifest = read_manifest(folder)
    with without_weights():
        refiner = VelocityModel(components[REFINER], prompt_length=components["prompt"]["length"])
    refiner.wake()
    state: dict[str, Tensor] = {}
    for file in manifest.files_in(FOREIGN[REFINER]):
        state |= load_file(folder / file)
    refiner.wan.load_state_dict(_with_adapter(refiner, state), assign=True)
    refiner.set_prompt(torch.from_numpy(read_prompt(folder, manifest)))
    return {**networks, REFINER: refiner}


def _with_adapter(model: VelocityModel, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a whole float32 state: what is there, copies of blocks, a new input, silence."""
    filled: dict[str, Tensor] = {}
    layers = model.wan.config.vace_layers
    fresh = nn.Conv3d(
        model.wan.config.vace_in_channels,
        model.wan.patch_embedding.out_channels,
        kernel_size=model.wan.config.patch_size,
    ).state_dict()
    for name, parameter in model.wan.named_parameters():
        if name.startswith(_INPUT):
            value = fresh[name.removeprefix(f"{_INPUT}.")]
        elif name.startswith(ADAPTER) and ("proj_in" in name or "proj_out" in name):
            value = torch.zeros(parameter.shape)
        elif name.startswith(ADAPTER) and name not in state:
            _, index, inner = name.split(".", 2)
            value = state[f"blocks.{layers[int(index)]}.{inner}"].clone()
        else:
            value = state[name]
        filled[name] = value.float()
    return filled


def adapter_of(model: VelocityModel) -> nn.ModuleDict:
    """Return the adapter of a transformer as a module of its own, sharing its parameters."""
    return nn.ModuleDict(
        {"blocks": model.wan.vace_blocks, "patch_embedding": model.wan.vace_patch_embedding}
    )


def export_based(model: VelocityModel, base: Path, folder: Path) -> None:
    """Write the adapter into a pack's folder, beside links to the networks it belongs to."""
    for part in FOREIGN.values():
        (folder / part).mkdir(exist_ok=True)
        for file in read_manifest(base).files_in(part):
            link = folder / file
            link.unlink(missing_ok=True)
            link.symlink_to((base / file).resolve())
    (folder / PROMPT).write_bytes((base / PROMPT).read_bytes())
    state = {
        name: parameter.detach().half().contiguous()
        for name, parameter in model.wan.named_parameters()
        if name.startswith(ADAPTER)
    }
    (folder / f"{ADAPTER_FILE}.safetensors").write_bytes(save(state))
