"""What the first bytes of a stream say when they are not the signature of a .gnv file."""

from __future__ import annotations

from gencodec.container.layout import SIGNATURE
from gencodec.errors import FormatError

PROBE_BYTES = 16

_AGAIN = "copy it again from where it came"
_FOREIGN = "not a .gnv file as `gencodec encode` writes it"

_MANGLED = (
    (SIGNATURE.replace(b"\r\n", b"\n"), "CR LF was turned into LF"),
    (SIGNATURE.replace(b"\r\n", b"\r"), "CR LF was turned into CR"),
    (SIGNATURE[:-1] + b"\r\n", "LF was turned into CR LF"),
    (SIGNATURE.replace(b"\n", b"\r\n"), "LF was turned into CR LF"),
    (bytes(byte & 0x7F for byte in SIGNATURE), "bit 7 of every byte was dropped"),
    (SIGNATURE.decode("latin-1").encode(), "the bytes were recoded as text (Latin-1 to UTF-8)"),
    (b"\xef\xbf\xbd" + SIGNATURE[1:4], "the bytes were recoded as text (lossy UTF-8)"),
    (SIGNATURE[:6] + b"\n", "the end-of-text byte was dropped"),
)
_LOOKS = (
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (4, b"ftyp", "an MP4 or MOV video"),
    (4, b"moov", "a MOV video"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (8, b"AVI ", "an AVI video"),
    (8, b"WAVE", "a WAV sound"),
    (8, b"WEBP", "a WebP picture"),
    (0, b"YUV4MPEG2", "a y4m video"),
    (0, b"OggS", "an Ogg stream"),
    (0, b"FLV", "an FLV video"),
    (0, b"DKIF", "an IVF video"),
    (0, b"\x00\x00\x01", "an MPEG or H.26x stream"),
    (0, b"\x00\x00\x00\x01", "an H.26x stream"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"PK\x03\x04", "a ZIP file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"<", "an HTML or XML page"),
    (0, b"{", "a JSON text"),
    (0, bytes(PROBE_BYTES), "a file of zeros"),
)


class SignatureError(FormatError):
    """A stream does not start as a .gnv file does; the text says why, and what to do.

    Args:
        start: the first bytes, at most `PROBE_BYTES`, fewer if the stream is shorter.
        offset: where they are.
    """

    def __init__(self, start: bytes, *, offset: int) -> None:
        super().__init__(_explained(start), offset=offset)


def _explained(start: bytes) -> str:
    if not start:
        return f"the file is empty; {_AGAIN}"
    if len(start) < len(SIGNATURE) and SIGNATURE.startswith(start):
        return f"the file is cut after {len(start)} bytes; {_AGAIN}"
    for mangled, what in _MANGLED:
        if start.startswith(mangled[:PROBE_BYTES]):
            return f"a .gnv file damaged in transfer: {what}; {_AGAIN}, in binary mode"
    for at, magic, name in _LOOKS:
        if start[at : at + len(magic)] == magic:
            return f"{_FOREIGN}; it looks like {name}"
    return f"{_FOREIGN}; it starts with {start[:8].hex(' ')}"
