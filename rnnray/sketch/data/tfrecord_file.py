"""TFRecord files as records, without TensorFlow; damage is reported by file and byte.

All checksums are checked.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details (uint64
length, uint32 masked CRC-32C of the length, the payload, uint32 masked CRC-32C of the payload; all
little-endian). We have our own reader because TensorFlow's stops at the first damaged record, and
because counting records here needs no import of TensorFlow.
"""

import struct
from collections.abc import Iterator
from io import BufferedIOBase
from typing import BinaryIO

from rnnray.errors import OnBad, UserError, report
from rnnray.sketch.data.checksums import HEADER as _HEADER
from rnnray.sketch.data.checksums import masked_crc
from rnnray.sketch.data.unpacking import Unpacked, decompressed

_CRC = struct.Struct("<I")
_CHUNK_BYTES = 4 << 20
# A drawing has a few kilobytes; a longer record than this is damage that passed a CRC.
_MAX_RECORD_BYTES = 256 << 20


def read_records(
    stream: BufferedIOBase, file: str, on_bad: OnBad | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield (byte offset, payload) of every record, both CRCs checked, in constant memory.

    Args:
        stream: a binary file, plain or compressed with gzip or bzip2; offsets count decompressed
            bytes.
        file: its name, for messages.
        on_bad: takes the error of a damaged record, and reading goes on. After damage in a payload
            it continues with the next record; after damage in a length, with the next bytes that
            are a length with its right checksum. Without `on_bad` the error is raised.

    Raises:
        UserError: a damaged or truncated record, named by file and offset.
    """
    stream = decompressed(stream)
    unit = "decompressed " if isinstance(stream, Unpacked) else ""

    def bad(offset: int, what: str) -> None:
        error = UserError(
            f"{file}: {what} at {unit}byte {offset}; "
            "fetch the file again, or leave the record out with --on-bad-record skip"
        )
        report(error, on_bad)

    buffer, start, position, ended = b"", 0, 0, False
    searching = False  # for the next record, after a damaged length

    while True:
        have = len(buffer) - position
        length = 0
        if have >= _HEADER.size:
            length, length_crc = _HEADER.unpack_from(buffer, position)
            if masked_crc(buffer[position : position + 8]) != length_crc:
                if not searching:
                    bad(start + position, "damaged record length")
                searching = True
                position += 1
                continue
            searching = False
            if length > _MAX_RECORD_BYTES:
                bad(start + position, f"impossible record length {length}")
                return
        need = _HEADER.size + length + _CRC.size
        if have < need:
            if not ended:
                start, buffer, position = start + position, buffer[position:], 0
                try:
                    # read1, because read would lose its bytes if decompression finds damage.
                    more = stream.read1(max(_CHUNK_BYTES, need - have))
                except OSError as error:
                    bad(start, str(error))
                    return
                ended = not more
                buffer += more
                continue
            if have and not searching:
                bad(start + position, f"truncated record ({have} of at least {need} bytes)")
            return
        begin = position + _HEADER.size
        payload = buffer[begin : begin + length]
        if masked_crc(payload) != _CRC.unpack_from(buffer, begin + length)[0]:
            bad(start + position, "damaged record (wrong checksum of the payload)")
        else:
            yield start + position, payload
        position += need


def count_records(stream: BufferedIOBase, file: str) -> int:
    """Return the number of records, damaged payloads included; reads the file once."""
    count = 0
    for _ in read_records(stream, file, on_bad=lambda _: None):
        count += 1
    return count


def write_record(stream: BinaryIO, payload: bytes) -> None:
    """Append a record."""
    length = struct.pack("<Q", len(payload))
    stream.write(length + _CRC.pack(masked_crc(length)) + payload + _CRC.pack(masked_crc(payload)))
