"""Payloads <-> the bytes of a .gnv file, version 1 (`formats/gnv-1.md`). Streams only, no paths.

Everything read here is untrusted: any bytes give a value or a `GencodecError`.
"""

from gencodec.container.blocks import FLF2V, I2V, T2V, VARIANTS, GnvcVdBlock, GvcBlock
from gencodec.container.cursor import BytesCursor, pack_var, parse_var
from gencodec.container.index import seek
from gencodec.container.layout import (
    CODER_GNVC_VD,
    CODER_GVC,
    META,
    PKT,
    PROV,
    SIGNATURE,
    STAT,
    TRAK,
    Header,
    Pack,
    Packet,
    Track,
    Version,
)
from gencodec.container.limits import Limits
from gencodec.container.reader import Reader
from gencodec.container.records import Damage, GroupRecord, IndexEntry, Part, Totals, Unit
from gencodec.container.writer import Writer

__all__ = [
    "CODER_GNVC_VD",
    "CODER_GVC",
    "FLF2V",
    "I2V",
    "META",
    "PKT",
    "PROV",
    "SIGNATURE",
    "STAT",
    "T2V",
    "TRAK",
    "VARIANTS",
    "BytesCursor",
    "Damage",
    "GnvcVdBlock",
    "GroupRecord",
    "GvcBlock",
    "Header",
    "IndexEntry",
    "Limits",
    "Pack",
    "Packet",
    "Part",
    "Reader",
    "Totals",
    "Track",
    "Unit",
    "Version",
    "Writer",
    "pack_var",
    "parse_var",
    "seek",
]
