"""What Wan's text encoder, a UMT5, says about the empty prompt. Needs torch.

The empty prompt is one token, end of text, and attention over one token returns its value: all that
is left of the network is a chain of matrices, read one after the other. So neither its library nor
memory for its six thousand million parameters is needed.

Source: Raffel et al., JMLR 2020 (T5); Chung et al., ICLR 2023 (UMT5).
"""

from __future__ import annotations

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


def embed_empty_prompt(folder: Path) -> NDArray[np.float32]:
    """Run the text encoder in a folder on the empty prompt.

    Returns:
        float32 [1, d_model].

    Raises:
        PackError: there is no UMT5 encoder with safetensors weights in the folder.
    """
    config = read_config(folder, "architectures", _CLASSES)
    try:
        with ExitStack() as stack, torch.inference_mode():
            vector = _encode(config, _Weights(weight_files(folder, _WEIGHTS), stack))
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise PackError(f"{folder} is not a UMT5 text encoder: {error!r}") from error
    embedded: NDArray[np.float32] = vector.numpy()
    return embedded


def _encode(config: dict[str, Any], weights: _Weights) -> Tensor:
    if config["feed_forward_proj"] != "gated-gelu":
        raise ValueError(f"feed_forward_proj is {config['feed_forward_proj']}, not gated-gelu")
    eps = float(config["layer_norm_epsilon"])

    def normalised(x: Tensor, name: str) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weights.get(name)

    table = next(name for name in _EMBEDDINGS if name in weights)
    x = weights.row(table, int(config["eos_token_id"]))
    for layer in range(int(config["num_layers"])):
        block = f"encoder.block.{layer}.layer"
        value = F.linear(
            normalised(x, f"{block}.0.layer_norm.weight"),
            weights.get(f"{block}.0.SelfAttention.v.weight"),
        )
        x = x + F.linear(value, weights.get(f"{block}.0.SelfAttention.o.weight"))
        inner, dense = normalised(x, f"{block}.1.layer_norm.weight"), f"{block}.1.DenseReluDense"
        gate = F.gelu(F.linear(inner, weights.get(f"{dense}.wi_0.weight")), approximate="tanh")
        hidden = gate * F.linear(inner, weights.get(f"{dense}.wi_1.weight"))
        x = x + F.linear(hidden, weights.get(f"{dense}.wo.weight"))
    return normalised(x, "encoder.final_layer_norm.weight")
