"""Payloads <-> the bytes of a .gnv file, version 1 (`formats/gnv-1.md`). Streams only, no paths.

Everything read here is untrusted: any bytes give a value or a `GencodecError`.
"""

from gencodec.container.blocks import (
    FLF2V,
    HALF_SIZE,
    I2V,
    T2V,
    USES_NOISE,
    VARIANTS,
    GnvcVdBlock,
    GvcBlock,
)
from gencodec.container.carried import (
    RUN_PACKETS,
    pack_about,
    pack_packets,
    pack_track,
    parse_about,
    parse_packets,
    parse_track,
)
from gencodec.container.cursor import BytesCursor, pack_var, parse_var
from gencodec.container.index import seek
from gencodec.container.layout import (
    CODER_GNVC_VD,
    CODER_GVC,
    META,
    PKT,
    PROMPT_MAX_BYTES,
    PROV,
    SIGNATURE,
    STAT,
    TRAK,
    Header,
    Pack,
    Version,
)
from gencodec.container.limits import Limits
from gencodec.container.reader import Reader
from gencodec.container.records import (
    Damage,
    GroupRecord,
    IndexEntry,
    Part,
    Totals,
    Unit,
    named_groups,
)
from gencodec.container.signature import PROBE_BYTES, SignatureError
from gencodec.container.writer import Writer

__all__ = [
    "CODER_GNVC_VD",
    "CODER_GVC",
    "FLF2V",
    "HALF_SIZE",
    "I2V",
    "META",
    "PKT",
    "PROBE_BYTES",
    "PROMPT_MAX_BYTES",
    "PROV",
    "RUN_PACKETS",
    "SIGNATURE",
    "STAT",
    "T2V",
    "TRAK",
    "USES_NOISE",
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
    "Part",
    "Reader",
    "SignatureError",
    "Totals",
    "Unit",
    "Version",
    "Writer",
    "named_groups",
    "pack_about",
    "pack_packets",
    "pack_track",
    "pack_var",
    "parse_about",
    "parse_packets",
    "parse_track",
    "parse_var",
    "seek",
]
