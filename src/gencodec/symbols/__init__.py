"""Symbols <-> payload bytes: exact on every machine, no floats in a probability, no torch."""

from gencodec.symbols.coder import SYMBOL_MAX, GroupDecoder, GroupEncoder
from gencodec.symbols.gaussian import (
    hyper_tables,
    integer_frequencies,
    sigma_bank,
    symbol_tables,
)
from gencodec.symbols.layout import PriorConfig, array_shapes
from gencodec.symbols.prior import Indices, Prior, PriorState
from gencodec.symbols.sets import (
    Choice,
    choices_bits,
    choices_bytes,
    choices_digest,
    decode_choices,
    encode_choices,
)
from gencodec.symbols.tables import Tables

__all__ = [
    "SYMBOL_MAX",
    "Choice",
    "GroupDecoder",
    "GroupEncoder",
    "Indices",
    "Prior",
    "PriorConfig",
    "PriorState",
    "Tables",
    "array_shapes",
    "choices_bits",
    "choices_bytes",
    "choices_digest",
    "decode_choices",
    "encode_choices",
    "hyper_tables",
    "integer_frequencies",
    "sigma_bank",
    "symbol_tables",
]
