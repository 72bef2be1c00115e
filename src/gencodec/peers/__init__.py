"""The codecs a benchmark compares: real encoders, and gencodec's own rows. Each runs in a process.

Nothing here imports torch before a row of gencodec runs: the memory of a peer is its own.
"""

from gencodec.peers.codecs import (
    DEFAULT_PEERS,
    Codec,
    Dial,
    Encoder,
    Peer,
    Row,
    Runner,
    Stream,
    available_peers,
    find_peer,
    find_row,
)
from gencodec.peers.process import CodecError, Decoded, Encoded, decode, encode, identity

__all__ = [
    "DEFAULT_PEERS",
    "Codec",
    "CodecError",
    "Decoded",
    "Dial",
    "Encoded",
    "Encoder",
    "Peer",
    "Row",
    "Runner",
    "Stream",
    "available_peers",
    "decode",
    "encode",
    "find_peer",
    "find_row",
    "identity",
]
