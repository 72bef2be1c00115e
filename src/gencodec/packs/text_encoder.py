"""What Wan's text encoder, a UMT5, says about a prompt. Needs torch.

It runs once for a prompt, and its matrices are read one after the other: so neither its library nor
memory for its six thousand million parameters is needed. The empty prompt is one token, end of
text, and needs no tokenizer.

Source: Raffel et al., JMLR 2020 (T5); Chung et al., ICLR 2023 (UMT5).
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gencodec.errors import PackError
from gencodec.packs.manifest import TEXT_ENCODER, TOKENIZER
from gencodec.packs.weights import read_config, weight_files

_CLASSES = ("UMT5EncoderModel", "UMT5Model", "UMT5ForConditionalGeneration")
_WEIGHTS = "model.safetensors"
_EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight")


class _Weights:
    """Tensors of several safetensors files by name, read when asked for."""

    def __init__(self, files: list[Path], stack: ExitStack) -> None:
        opened = [stack.enter_context(safe_open(file, "pt")) for file in files]
        self._of = {key: file for file in opened for key in file.keys()}  # noqa: SIM118

    def __contains__(self, name: str) -> bool:
        return name in self._of

    def row(self, name: str, index: int) -> Tensor:
        """Return one row of a matrix as float32."""
        row: Tensor = self._of[name].get_slice(name)[index : index + 1]
        return row.float()

    def get(self, name: str) -> Tensor:
        """Return a tensor as float32."""
        tensor: Tensor = self._of[name].get_tensor(name)
        return tensor.float()


def embed_prompt(folder: Path, text: str = "") -> NDArray[np.float32]:
    """Run the text encoder in a folder on a prompt.

    Args:
        folder: holds text_encoder/ and, unless the prompt is empty, tokenizer/.
        text: runs of white space count as one space, as in Wan's pipelines.

    Returns:
        float32 [n, d_model], a vector for each token.

    Raises:
        PackError: there is no UMT5 encoder with safetensors weights, or no tokenizer.
    """
    encoder = folder / TEXT_ENCODER
    config = read_config(encoder, "architectures", _CLASSES)
    tokens = _tokens(folder / TOKENIZER, " ".join(text.split()), int(config["eos_token_id"]))
    try:
        with ExitStack() as stack, torch.inference_mode():
            vectors = _encode(config, _Weights(weight_files(encoder, _WEIGHTS), stack), tokens)
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise PackError(f"{encoder} is not a UMT5 text encoder: {error!r}") from error
    embedded: NDArray[np.float32] = vectors.numpy()
    return embedded


def _tokens(folder: Path, text: str, end: int) -> list[int]:
    """Return the tokens of a text, the last one its end."""
    if not text:
        return [end]
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise PackError("a prompt needs tokenizers; run: pip install 'gencodec[prompt]'") from error
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokens: list[int] = tokenizer.encode(text).ids
    except Exception as error:
        raise PackError(f"{folder} holds no usable tokenizer.json: {error}") from error
    return tokens if tokens[-1:] == [end] else [*tokens, end]


def _encode(config: dict[str, Any], weights: _Weights, tokens: list[int]) -> Tensor:
    if config["feed_forward_proj"] != "gated-gelu":
        raise ValueError(f"feed_forward_proj is {config['feed_forward_proj']}, not gated-gelu")
    eps = float(config["layer_norm_epsilon"])

    def normalised(x: Tensor, name: str) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weights.get(name)

    table = next(name for name in _EMBEDDINGS if name in weights)
    x = torch.cat([weights.row(table, token) for token in tokens])
    buckets = _buckets(len(tokens), config)
    for layer in range(int(config["num_layers"])):
        block = f"encoder.block.{layer}.layer"
        seen, attention = normalised(x, f"{block}.0.layer_norm.weight"), f"{block}.0.SelfAttention"
        query, key, value = (
            F.linear(seen, weights.get(f"{attention}.{part}.weight"))
            .unflatten(1, (int(config["num_heads"]), -1))
            .transpose(0, 1)
            for part in "qkv"
        )
        bias = weights.get(f"{attention}.relative_attention_bias.weight")[buckets].permute(2, 0, 1)
        mixed = (query @ key.transpose(1, 2) + bias).softmax(-1) @ value
        mixed = mixed.transpose(0, 1).flatten(1)
        x = x + F.linear(mixed, weights.get(f"{attention}.o.weight"))
        inner, dense = normalised(x, f"{block}.1.layer_norm.weight"), f"{block}.1.DenseReluDense"
        gate = F.gelu(F.linear(inner, weights.get(f"{dense}.wi_0.weight")), approximate="tanh")
        hidden = gate * F.linear(inner, weights.get(f"{dense}.wi_1.weight"))
        x = x + F.linear(hidden, weights.get(f"{dense}.wo.weight"))
    return normalised(x, "encoder.final_layer_norm.weight")


def _buckets(count: int, config: dict[str, Any]) -> Tensor:
    """Return which bias [query, key] a distance has: near ones have their own, far ones share.

    Source: Raffel et al., section 2.1.
    """
    half = int(config.get("relative_attention_num_buckets", 32)) // 2
    farthest = int(config.get("relative_attention_max_distance", 128))
    place = torch.arange(count)
    distance = place[None, :] - place[:, None]
    size, near = distance.abs(), half // 2
    ratio = torch.log(size.clamp(min=1) / near) / math.log(farthest / near)
    far = (near + (ratio * (half - near)).long()).clamp(max=half - 1)
    return torch.where(size < near, size, far) + half * (distance > 0)
