"""Small random Wan networks in the Hugging Face layout, saved by diffusers itself."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from gencodec.refine import VelocityModel  # imports diffusers past what torchvision lacks

from diffusers import (  # isort: skip
    AutoencoderKLWan,
    WanTransformer3DModel,
    WanVACETransformer3DModel,
)

__all__ = ["VelocityModel"]

TEXT_DIM = 8
VAE: dict[str, Any] = {
    "base_dim": 4,
    "z_dim": 4,
    "dim_mult": [1, 1, 1],
    "num_res_blocks": 1,
    "temperal_downsample": [True, True],
    "latents_mean": [0.1, -0.2, 0.3, 0.0],
    "latents_std": [1.5, 0.5, 1.0, 2.0],
}
TRANSFORMER: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": TEXT_DIM,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 3,
}
UMT5: dict[str, Any] = {
    "architectures": ["UMT5EncoderModel"],
    "d_ff": 10,
    "d_kv": 3,
    "d_model": TEXT_DIM,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "layer_norm_epsilon": 1e-6,
    "num_heads": 2,
    "num_layers": 2,
    "vocab_size": 12,
}
VACE: dict[str, Any] = {"vace_layers": [0, 2], "vace_in_channels": 6}


def transformer(*, vace: bool = False) -> Any:  # noqa: ANN401
    """A small random transformer."""
    torch.manual_seed(3)
    model = WanVACETransformer3DModel(**TRANSFORMER, **VACE) if vace else None
    return model or WanTransformer3DModel(**TRANSFORMER)


def autoencoder() -> Any:  # noqa: ANN401
    """A small random autoencoder."""
    torch.manual_seed(4)
    return AutoencoderKLWan(**VAE)


def text_encoder() -> dict[str, torch.Tensor]:
    """Weights of a small UMT5 encoder under the names that transformers gives them."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    weights = {"shared.weight": random(12, TEXT_DIM)}
    for layer in range(UMT5["num_layers"]):
        block = f"encoder.block.{layer}.layer"
        for part in "qkv":
            weights[f"{block}.0.SelfAttention.{part}.weight"] = random(6, TEXT_DIM)
        weights[f"{block}.0.SelfAttention.o.weight"] = random(TEXT_DIM, 6)
        weights[f"{block}.0.layer_norm.weight"] = random(TEXT_DIM)
        weights[f"{block}.1.DenseReluDense.wi_0.weight"] = random(10, TEXT_DIM)
        weights[f"{block}.1.DenseReluDense.wi_1.weight"] = random(10, TEXT_DIM)
        weights[f"{block}.1.DenseReluDense.wo.weight"] = random(TEXT_DIM, 10)
        weights[f"{block}.1.layer_norm.weight"] = random(TEXT_DIM)
        weights[f"{block}.0.SelfAttention.relative_attention_bias.weight"] = random(32, 2)
    return {**weights, "encoder.final_layer_norm.weight": random(TEXT_DIM)}


def save(folder: Path, *, vace: bool = False, shard: str | int = "10GB") -> Path:
    """Write all three parts into a folder, the transformer in pieces of at most `shard`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries say of themselves
        autoencoder().save_pretrained(folder / "vae")
        transformer(vace=vace).save_pretrained(folder / "transformer", max_shard_size=shard)
    (folder / "text_encoder").mkdir()
    (folder / "text_encoder" / "config.json").write_text(json.dumps(UMT5))
    save_file(text_encoder(), folder / "text_encoder" / "model.safetensors")
    (folder / "tokenizer").mkdir()
    tokenizer().save(str(folder / "tokenizer" / "tokenizer.json"))
    return folder


def tokenizer() -> Any:  # noqa: ANN401
    """A tokenizer of a few words that ends texts as UMT5's does."""
    words = ["<pad>", "</s>", "<unk>", "a", "cat", "red", "sleeping"]
    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return made
