import gzip
import io
import struct
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnray.errors import UserError
from rnnray.sketch.data import tfrecord_file
from rnnray.sketch.data.checksums import is_tfrecord
from rnnray.sketch.data.tfrecord_file import count_records, read_records, write_record

FRAME = 16  # bytes around a payload

# A payload of 8 bytes and its checksum look like the length of a record: after damage nobody can
# tell which it is. No Example of a drawing is so short.
payload_lists = st.lists(
    st.binary(max_size=60).filter(lambda payload: len(payload) != 8), min_size=1, max_size=8
)


def shard(payloads: list[bytes]) -> bytes:
    stream = io.BytesIO()
    for payload in payloads:
        write_record(stream, payload)
    return stream.getvalue()


def read(content: bytes) -> tuple[list[bytes], list[str]]:
    """The payloads that can be read, and what is reported of the others."""
    errors: list[str] = []
    records = read_records(io.BytesIO(content), "x.tfrecord", lambda e: errors.append(str(e)))
    payloads = [payload for _, payload in records]
    assert all(error.startswith("x.tfrecord: ") and "\n" not in error for error in errors)
    return payloads, errors


def raised(content: bytes) -> str | None:
    """What ends the reading when nothing may be skipped."""
    try:
        for _ in read_records(io.BytesIO(content), "x.tfrecord"):
            pass
    except UserError as error:
        return str(error)
    return None


def flipped(content: bytes, *bits: int) -> bytes:
    damaged = bytearray(content)
    for bit in bits:
        damaged[bit // 8 % len(damaged)] ^= 1 << bit % 8
    return bytes(damaged)


def in_order(found: list[bytes], written: list[bytes]) -> bool:
    rest = iter(written)
    return all(any(payload == other for other in rest) for payload in found)


@given(payload_lists, st.booleans())
def test_records_come_back_with_their_offsets(payloads: list[bytes], zipped: bool) -> None:
    content = shard(payloads)
    packed = gzip.compress(content) if zipped else content
    records = list(read_records(io.BytesIO(packed), "x"))
    assert [payload for _, payload in records] == payloads
    for offset, payload in records:
        assert content[offset : offset + FRAME + len(payload)] == shard([payload])
    assert count_records(io.BytesIO(packed), "x") == len(payloads)


@given(payload_lists, st.integers(0))
def test_one_flipped_bit_costs_one_record_which_is_reported(
    payloads: list[bytes], bit: int
) -> None:
    content = shard(payloads)
    bit %= 8 * len(content)
    hit, start = 0, 0  # the record that the bit is in, and where it begins
    while start + FRAME + len(payloads[hit]) <= bit // 8:
        start += FRAME + len(payloads[hit])
        hit += 1
    found, errors = read(flipped(content, bit))
    assert found == payloads[:hit] + payloads[hit + 1 :]
    assert len(errors) == 1
    assert f" at byte {start};" in errors[0]
    assert "--on-bad-record skip" in errors[0]
    assert raised(flipped(content, bit)) == errors[0]


@given(payload_lists, st.lists(st.integers(0), min_size=2, max_size=8))
def test_many_flipped_bits_never_yield_a_wrong_record_or_hide_a_loss(
    payloads: list[bytes], bits: list[int]
) -> None:
    damaged = flipped(shard(payloads), *bits)
    found, errors = read(damaged)
    assert in_order(found, payloads)
    assert errors or found == payloads
    assert raised(damaged) == (errors[0] if errors else None)


@given(payload_lists, st.lists(st.integers(0), min_size=1, max_size=8))
def test_flipped_bits_of_a_gzip_file_never_yield_a_wrong_record_or_hide_a_loss(
    payloads: list[bytes], bits: list[int]
) -> None:
    damaged = flipped(gzip.compress(shard(payloads)), *bits)
    found, errors = read(damaged)
    # Damage can make gzip repeat a piece, whole records with it; its checksum, at the end, tells.
    assert set(found) <= set(payloads)
    assert errors or found == payloads
    assert raised(damaged) == (errors[0] if errors else None)


@given(payload_lists, st.integers(0))
def test_a_truncated_file_gives_the_records_in_front_and_reports_the_end(
    payloads: list[bytes], size: int
) -> None:
    whole = [len(shard(payloads[:count])) for count in range(len(payloads) + 1)]
    size %= whole[-1]
    found, errors = read(shard(payloads)[:size])
    complete = sum(end <= size for end in whole) - 1
    assert found == payloads[:complete]
    # A file that ends between two records is a whole file: nothing can tell.
    assert len(errors) == (size not in whole)
    if errors:
        assert f"truncated record ({size - whole[complete]} of " in errors[0]
        assert f"at byte {whole[complete]};" in errors[0]


@given(payload_lists, st.integers(0))
def test_a_truncated_gzip_file_gives_records_from_the_front_and_one_report(
    payloads: list[bytes], size: int
) -> None:
    packed = gzip.compress(shard(payloads))
    found, errors = read(packed[: 1 + size % (len(packed) - 1)])
    assert found == payloads[: len(found)]
    assert len(errors) == 1
    assert "truncated" in errors[0]


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x1f\x8b", b"\x1f\x8b\x08\x00", bytes(8)]))
def test_a_file_of_anything_gives_no_record_and_no_crash(content: bytes, start: bytes) -> None:
    found, errors = read(start + content)
    assert found == []
    assert bool(errors) == bool(start + content)


@pytest.mark.parametrize("chunk", [1, 5, 16, 30])
def test_damage_is_found_and_left_behind_wherever_the_reading_pauses(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord_file, "_CHUNK_BYTES", chunk)
    payloads = [b"first", b"", b"a third, longer one", b"last"]
    content = shard(payloads)
    assert read(content) == (payloads, [])
    for byte in range(len(content)):
        found, errors = read(flipped(content, 8 * byte))
        assert (len(found), len(errors)) == (3, 1)
        assert in_order(found, payloads)


def test_a_truncated_gzip_file_loses_only_what_is_cut_off() -> None:
    payloads = [bytes([i % 251]) * 100 + i.to_bytes(4, "big") for i in range(20_000)]
    content = shard(payloads)
    packed = gzip.compress(content, 1)
    found, errors = read(packed[: len(packed) * 9 // 10])
    assert len(found) > 0.85 * len(payloads)
    assert found == payloads[: len(found)]
    assert len(errors) == 1
    end = len(shard(found))
    assert "damaged or truncated gzip file " in errors[0]
    assert f" at decompressed byte {end};" in errors[0]


def test_a_file_is_read_in_pieces_and_never_as_a_whole() -> None:
    class Endless(io.RawIOBase):
        content = shard([b"drawing"] * 1000)
        position = 0

        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0) -> int:
            self.position = offset
            return offset

        def readinto(self, buffer) -> int:
            start = self.position % len(self.content)
            piece = self.content[start : start + len(buffer)]
            buffer[: len(piece)] = piece
            self.position += len(piece)
            return len(piece)

    records = read_records(io.BufferedReader(Endless()), "endless")
    assert {payload for _, payload in islice(records, 5000)} == {b"drawing"}


def test_a_first_record_as_long_as_gzips_magic_number_is_no_gzip_file() -> None:
    payloads = [bytes(0x8B1F), b"next"]
    assert shard(payloads)[:2] == b"\x1f\x8b"
    assert read(shard(payloads)) == (payloads, [])


def test_a_length_that_no_drawing_has_is_damage_and_takes_no_memory() -> None:
    length = struct.pack("<Q", 1 << 50)
    header = length + struct.pack("<I", tfrecord_file.masked_crc(length))
    found, errors = read(shard([b"good"]) + header + bytes(100))
    assert found == [b"good"]
    assert len(errors) == 1
    assert f"impossible record length {1 << 50} at byte 20;" in errors[0]


def test_an_empty_file_has_no_records() -> None:
    assert read(b"") == ([], [])
    assert read(gzip.compress(b"")) == ([], [])
    assert count_records(io.BytesIO(), "x") == 0


def test_counting_goes_on_after_damage_as_reading_does() -> None:
    payloads = [b"a" * 20, b"b" * 20, b"c" * 20]
    for byte in (0, 15, 35):  # in the length, the payload, its checksum
        damaged = flipped(shard(payloads), 8 * byte)
        assert count_records(io.BytesIO(damaged), "x") == len(read(damaged)[0]) == 2


def test_tfrecords_are_told_from_other_files_by_their_first_bytes() -> None:
    assert is_tfrecord(shard([b"x"]))
    assert is_tfrecord(shard([b"x"])[:12])
    assert not is_tfrecord(shard([b"x"])[:11])
    assert not is_tfrecord(b'{"word": "cat"}')
    assert not is_tfrecord(b"")
    assert not is_tfrecord(bytes(16))
