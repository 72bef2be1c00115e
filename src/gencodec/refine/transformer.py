"""The video diffusion transformer: diffusers' Wan model, with an adapter for the codec's features.

A text prompt is not part of the codec: the cross attention sees the same text for every video, the
empty prompt's embedding in packs of real Wan networks and one zero token in small ones.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencodec.execution import Execution, define_torchvision_operators
from gencodec.refine.schedule import LEVEL_UNIT

define_torchvision_operators()
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel  # noqa: E402
from diffusers.hooks import apply_group_offloading  # noqa: E402
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed  # noqa: E402

ADAPTER = "vace_"  # what the names of an adapter's parameters start with
_ASKS = re.compile(r"\.attn2\.(to|norm)_[qk]\.")  # weights of the text's queries and keys


class VelocityModel(nn.Module):
    """Predicts the velocity (noise minus data) of a noisy latent, alone or under a condition.

    Args:
        config: arguments of `WanVACETransformer3DModel`, or of `WanTransformer3DModel` where there
            are no `vace_layers`, and so no adapter. `residual` beside them: under a condition the
            network tells how the clean latents differ from the decoded ones, times `gain`, so that
            an adapter which has learned nothing changes nothing; a large pretrained network needs
            no such help.
        prompt_length: vectors of the text input; zero until `set_prompt`.
    """

    prompt: Tensor

    def __init__(self, config: dict[str, Any], *, prompt_length: int = 1) -> None:
        super().__init__()
        config = dict(config)
        residual = bool(config.pop("residual", False))
        self.has_adapter = "vace_layers" in config
        self.wan = (WanVACETransformer3DModel if self.has_adapter else WanTransformer3DModel)(
            **config
        )
        self.watched = False  # whether something must see every call of the network
        self.autocast: torch.dtype | None = None
        text_dim = int(self.wan.config.text_dim)
        self.register_buffer("prompt", torch.zeros(1, prompt_length, text_dim), persistent=False)
        channels = int(self.wan.config.in_channels)
        self.gain = nn.Parameter(torch.zeros(1, channels, 1, 1, 1)) if residual else None
        self._silence_adapter()

    def _silence_adapter(self) -> None:
        """Zero the adapter's entry and exits, so that it starts without influence."""
        if self.has_adapter:
            blocks = self.wan.vace_blocks
            for layer in (blocks[0].proj_in, *(block.proj_out for block in blocks)):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def wake(self) -> None:
        """Fill the buffers of a model that was built without weights."""
        sizes = self.wan.config
        self.wan.rope = WanRotaryPosEmbed(
            sizes.attention_head_dim, sizes.patch_size, sizes.rope_max_seq_len
        )
        self.prompt = torch.zeros(self.prompt.shape)

    def set_prompt(self, vectors: Tensor) -> None:
        """Take [n, text_dim] as text; zeros follow up to the prompt's length."""
        self.prompt.zero_()
        self.prompt[0, : len(vectors)] = vectors

    def forward(self, latents: Tensor, sigma: Tensor, condition: Tensor | None) -> Tensor:
        """Return velocities float32 [b, c, t, h, w].

        Args:
            latents: noisy normalised latents [b, c, t, h, w]; axes that are no multiple of the
                network's patch are continued by their edge.
            sigma: noise level [b], 0 .. 1.
            condition: [b, d, t, h, w], decoded latents and features; None is no condition.
        """
        h, w = latents.shape[-2:]
        device, dtype = latents.device.type, self.autocast
        with nullcontext() if dtype is None else torch.autocast(device, dtype):
            velocity = self._forward(
                self._padded(latents),
                sigma * LEVEL_UNIT,
                None if condition is None else self._padded(condition),
            )
        velocity = velocity[..., :h, :w].float()
        if condition is None or self.gain is None:
            return velocity
        decoded = condition[:, : latents.shape[1]]
        return (latents - decoded) / sigma.view(-1, 1, 1, 1, 1) + self.gain * velocity

    def _forward(self, latents: Tensor, timestep: Tensor, condition: Tensor | None) -> Tensor:
        wan = self.wan
        shared = {
            "hidden_states": latents,
            "timestep": timestep,
            "encoder_hidden_states": self.prompt.to(latents).expand(len(latents), -1, -1),
            "return_dict": False,
        }
        if not self.has_adapter:
            return wan(**shared)[0]
        if condition is None and not self.watched:  # the same without the adapter's work
            return WanTransformer3DModel.forward(wan, **shared)[0]
        scales = latents.new_ones(len(wan.config.vace_layers))
        if condition is None:
            scales = torch.zeros_like(scales)
            condition = latents.new_zeros(
                len(latents), wan.config.vace_in_channels, *latents.shape[2:]
            )
        return wan(**shared, control_hidden_states=condition, control_hidden_states_scale=scales)[0]

    def _padded(self, x: Tensor) -> Tensor:
        """Continue [b, ., t, h, w] to whole patches, in the number format of the weights."""
        _, rows, columns = self.wan.config.patch_size
        bottom, right = -x.shape[-2] % rows, -x.shape[-1] % columns
        if bottom or right:
            x = F.pad(x, (0, right, 0, bottom, 0, 0), mode="replicate")
        return x.to(self.wan.patch_embedding.weight.dtype)

    def adapter_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the conditioning adapter; the others are the prior's."""
        blocks = [p for name, p in self.wan.named_parameters() if name.startswith(ADAPTER)]
        return blocks if self.gain is None else [*blocks, self.gain]

    def idle(self) -> dict[str, torch.Size]:
        """Return names and shapes of weights that change nothing, which packs do not hold.

        A single text vector gets all attention, whatever queries and keys are.
        """
        if self.prompt.shape[1] > 1:
            return {}
        shapes = {name: weight.shape for name, weight in self.state_dict().items()}
        return {name: shape for name, shape in shapes.items() if _ASKS.search(name)}

    def blocks(self) -> list[nn.Module]:
        """Return the transformer's blocks, the adapter's among them."""
        return [*self.wan.blocks, *(self.wan.vace_blocks if self.has_adapter else ())]

    def offload(self, execution: Execution) -> None:
        """Keep the weights in main memory; each block visits the device when it is its turn."""
        device = execution.device
        self.watched = True
        self.prompt = self.prompt.to(device)
        if self.gain is not None:
            self.gain.data = self.gain.data.to(device)
        apply_group_offloading(
            self.wan,
            onload_device=device,
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=device.type == "cuda",
            low_cpu_mem_usage=True,
        )


def weight_format(name: str, dtype: torch.dtype) -> torch.dtype:
    """Return the number format of a transformer's weight where most are `dtype`.

    Source: diffusers keeps norms, time embedding and modulation of Wan in float32.
    """
    kept = WanTransformer3DModel._keep_in_fp32_modules
    return torch.float32 if any(part in kept for part in name.split(".")) else dtype


def euler(
    model: VelocityModel, start: Tensor, levels: tuple[float, ...], condition: Tensor
) -> Tensor:
    """Follow the flow from `start` at levels[0] to levels[-1] by Euler steps."""
    x = start
    for level, following in pairwise(levels):
        sigma = torch.full((len(x),), level, device=x.device)
        x = x + (following - level) * model(x, sigma, condition)
    return x
