"""The published networks that packs can be made of, by pack name. Data only; no torch.

Source: the configuration files of the repositories named here; Wan 2.1, arXiv 2503.20314.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VAE: Mapping[str, Any] = {
    "base_dim": 96,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],  # diffusers' spelling
    "z_dim": 16,
}
TRANSFORMER_1_3B: Mapping[str, Any] = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 12,
    "attention_head_dim": 128,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 4096,
    "freq_dim": 256,
    "ffn_dim": 8960,
    "num_layers": 30,
}
TRANSFORMER_14B: Mapping[str, Any] = {
    **TRANSFORMER_1_3B,
    "num_attention_heads": 40,
    "ffn_dim": 13824,
    "num_layers": 40,
}
VACE_LAYERS_1_3B = list(range(0, 30, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Networks that somebody published.

    Attributes:
        repository: on the Hugging Face Hub.
        transformer: the sizes its transformer has.
        download_bytes: about what `models fetch` loads, the text encoder included.
        licence: of the weights.
    """

    repository: str
    transformer: Mapping[str, Any]
    download_bytes: int
    licence: str = "Apache-2.0"


PUBLISHED: Mapping[str, Published] = {
    "wan2.1-1.3b": Published(
        repository="Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        transformer=TRANSFORMER_1_3B,
        download_bytes=29_000_000_000,
    ),
    "wan2.1-14b": Published(
        repository="Wan-AI/Wan2.1-T2V-14B-Diffusers",
        transformer=TRANSFORMER_14B,
        download_bytes=80_000_000_000,
    ),
    "wan2.1-vace-1.3b": Published(
        repository="Wan-AI/Wan2.1-VACE-1.3B-diffusers",
        transformer={
            **TRANSFORMER_1_3B,
            "vace_layers": VACE_LAYERS_1_3B,
            "vace_in_channels": 96,
        },
        download_bytes=32_000_000_000,
    ),
}
