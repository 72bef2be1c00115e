"""Payloads <-> the bytes of a .gnv file, version 1 (`formats/gnv-1.md`). Streams only, no paths.

Everything read here is untrusted: any bytes give a value or a `GencodecError`.
"""

from gencodec.container.carried import (
    RUN_PACKETS,
    pack_about,
    pack_packets,
    pack_track,
    parse_about,
    parse_packets,
    parse_track,
)
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
    GnvcVdBlock,
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
from gencodec.container.writer import Writer

__all__ = [
    "CODER_GNVC_VD",
    "CODER_GVC",
    "META",
    "PKT",
    "PROV",
    "RUN_PACKETS",
    "SIGNATURE",
    "STAT",
    "TRAK",
    "Damage",
    "GnvcVdBlock",
    "GroupRecord",
    "Header",
    "IndexEntry",
    "Limits",
    "Pack",
    "Part",
    "Reader",
    "Totals",
    "Unit",
    "Version",
    "Writer",
    "named_groups",
    "pack_about",
    "pack_packets",
    "pack_track",
    "parse_about",
    "parse_packets",
    "parse_track",
    "seek",
]
