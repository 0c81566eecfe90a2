"""The checksum of TFRecord files, by which they are recognised too."""

import struct

import google_crc32c

HEADER = struct.Struct("<QI")
"""A record's length, and the checksum of the length."""


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C with the rotation and offset of TFRecords."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def is_tfrecord(head: bytes) -> bool:
    """Return whether the first 12 bytes are a record's length with its right checksum."""
    if len(head) < HEADER.size:
        return False
    return bool(masked_crc(head[:8]) == HEADER.unpack_from(head)[1])
