"""Whether the pixel data of a DICOM file are complete. GDCM fills in what is missing without saying so."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_META = 2048  # bytes that the transfer syntax stands within, of a file of ordinary length
_UNCOMPRESSED = {  # transfer syntax → byte order, and whether elements state their kind
    b"1.2.840.10008.1.2": ("<", False),
    b"1.2.840.10008.1.2.1": ("<", True),
    b"1.2.840.10008.1.2.2": (">", True),
}


def lacks_pixels(path: Path, wanted: int) -> bool:
    """Whether the uncompressed pixel data of a file are shorter than `wanted` bytes. Only what precedes them is read.

    False where they are compressed (what decodes them fails), or where nothing is known of them.
    """
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _lacks_pixels(data, wanted)


def _lacks_pixels(data: mmap.mmap, wanted: int) -> bool:
    known = _UNCOMPRESSED.get(_transfer_syntax(data))
    if known is None:
        return False
    order, explicit = known
    tag, begin = struct.pack(order + "HH", 0x7FE0, 0x0010), 12 if explicit else 8
    place = data.find(tag)
    if place < 0:
        return False
    while place >= 0:  # the first may be those of an icon
        header = data[place : place + begin]
        if len(header) == begin and (not explicit or header[4:6] in (b"OW", b"OB")):
            (length,) = struct.unpack(order + "I", header[-4:])
            if min(length, len(data) - place - begin) >= wanted:
                return False
        place = data.find(tag, place + 1)
    return True


def _transfer_syntax(data: mmap.mmap) -> bytes:
    """The UID; empty where the file does not state it."""
    element = b"\x02\x00\x10\x00UI"
    place = data.find(element, 0, _META)
    if place < 0:
        return b""
    begin = place + len(element) + 2
    (length,) = struct.unpack("<H", data[begin - 2 : begin])
    return data[begin : begin + length].rstrip(b"\0 ")
