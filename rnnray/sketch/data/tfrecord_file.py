"""The framing of TFRecord files: length, CRC, payload, CRC. No TensorFlow here.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
(uint64 length, uint32 masked CRC-32C of the length, the payload, uint32 masked CRC-32C of the
payload; all little-endian). Our own reader instead of TensorFlow's, because TensorFlow's stops at
the first damaged record, and because this one needs no import of TensorFlow to count records.
"""

import struct
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from typing import BinaryIO

from rnnray.errors import UserError
from rnnray.sketch.data.checksums import HEADER as _HEADER
from rnnray.sketch.data.checksums import masked_crc
from rnnray.sketch.data.unpacking import Unpacked, decompressed

OnBad = Callable[[UserError], None]

_CRC = struct.Struct("<I")
_CHUNK_BYTES = 4 << 20
# A drawing has a few kilobytes; a longer record than this is damage that passed a CRC.
_MAX_RECORD_BYTES = 256 << 20


def read_records(
    stream: BufferedIOBase, file: str, on_bad: OnBad | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield (byte offset, payload) of every record, both CRCs checked, in constant memory.

    Args:
        stream: a binary file, compressed with gzip or bzip2 or not; offsets count
            decompressed bytes.
        file: its name, for messages.
        on_bad: takes the error of a damaged record, and reading goes on: after damage in a
            payload with the next record, after damage in a length with the next place that is a
            length with its right checksum. Without it the error is raised.

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
        if on_bad is None:
            raise error
        on_bad(error)

    buffer, start, position, ended = b"", 0, 0, False
    searching = False  # for the next record, behind a damaged length

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
                    # read1, because read would lose what it had when unpacking finds damage.
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
    """How many records a file has, damaged payloads included; reads it once, parses nothing."""
    count = 0
    for _ in read_records(stream, file, on_bad=lambda _: None):
        count += 1
    return count


def write_record(stream: BinaryIO, payload: bytes) -> None:
    """Append one record."""
    length = struct.pack("<Q", len(payload))
    stream.write(length + _CRC.pack(masked_crc(length)) + payload + _CRC.pack(masked_crc(payload)))
