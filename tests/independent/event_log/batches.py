"""Batches (section 5)."""

import subprocess
from dataclasses import dataclass

from .damage import Damage
from .entries import Context
from .source import MASK, Source

FRAME_BYTES = 13
MOST_BYTES = 64 << 20
COMPRESSED = 1
ZSTD_MAGIC = 0xFD2FB528


@dataclass
class Bases:
    """What had been told before a batch."""

    exit: int
    time: int
    tick: int
    distance: int


class Batch:
    """A batch, whose section was checked and begins at `offset`. Its entries can be read once."""

    def __init__(self, content, offset):
        source = Source(content)
        flags = source.u8()
        if flags & ~COMPRESSED:
            raise Damage(f"unknown flags {flags:#x}")
        self.offset = offset
        self.count, self.first = source.v32(), source.v64()
        exit_number, time, before, distance = (source.v64() for _ in range(4))
        self.bases = Bases(exit_number, time, (time - before) & MASK, distance)
        self.instructions = source.v64()
        if self.count == 0 or self.first + self.count > MASK:
            raise Damage(f"a batch of {self.count} entries")
        self.section_bytes = FRAME_BYTES + len(content)
        self.beginning_bytes = FRAME_BYTES + source.at
        self.stored_bytes = source.left()
        stored = content[source.at :]
        self.source = decompressed(stored) if flags & COMPRESSED else Source(stored)
        self.entry_bytes = self.source.left()
        self.compressed = flags & COMPRESSED
        self.context = Context(self.bases)

    def saved_bytes(self):
        """How much shorter compression has made the entries."""
        return self.entry_bytes - self.stored_bytes

    def entries(self):
        """The entries, as they are shown."""
        for number in range(self.first, self.first + self.count):
            before = self.source.left()
            try:
                kind, fields = self.context.entry(self.source)
            except Damage as damage:
                raise Damage(f"entry {number}: {damage.reason}", self._place(before)) from damage
            yield {
                "entry": number,
                "kind": kind,
                "guest_nanoseconds": self.context.time,
                **fields,
                "bytes": before - self.source.left(),
                "file_bytes": self._file_bytes(),
            }
        if self.source.left():
            raise Damage(f"{self.source.left()} bytes follow behind the last entry", self.offset)

    def _place(self, left):
        return self.offset if self.compressed else self.offset + self.section_bytes - left

    def _file_bytes(self):
        """How many bytes of the file tell everything up to here: in a compressed batch, in proportion (section 13)."""
        left = self.stored_bytes * self.source.left() // max(self.entry_bytes, 1)
        return self.offset + self.section_bytes - left


def decompressed(stored):
    """The entries that a zstd frame holds, with the noise behind it."""
    length, size = zstd_frame(stored)
    if size > min(MOST_BYTES, length // 4 * 131072):
        raise Damage(f"{size} bytes do not fit a zstd frame of {length}")
    command = ["zstd", "--decompress", "--stdout", "--quiet"]
    done = subprocess.run(command, input=stored[:length], capture_output=True, check=False)
    if done.returncode != 0 or len(done.stdout) != size:
        raise Damage(f"zstd refuses the entries: {done.stderr.decode(errors='replace').strip()}")
    return Source(done.stdout, Source(stored[length:]))


def zstd_frame(data):
    """The length of the zstd frame that the bytes begin with, and of its content (RFC 8878, 3.1.1)."""
    source = Source(data)
    if source.fixed(4) != ZSTD_MAGIC:
        raise Damage("no zstd frame")
    descriptor = source.u8()
    is_single, has_checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    if descriptor & 0x08:
        raise Damage("a reserved bit of the zstd frame is set")
    if not is_single:
        source.take(1)
    if source.fixed((0, 1, 2, 4)[descriptor & 3]) != 0:
        raise Damage("the zstd frame wants a dictionary")
    size_bytes = (is_single, 2, 4, 8)[descriptor >> 6]
    if size_bytes == 0:
        raise Damage("the zstd frame does not tell the size of its content")
    # A size of two bytes begins with 256.
    size = source.fixed(size_bytes) + (256 if size_bytes == 2 else 0)
    is_last = False
    while not is_last:
        block = source.fixed(3)
        is_last, kind, length = block & 1, block >> 1 & 3, block >> 3
        # A repeated byte is written once.
        source.take(1 if kind == 1 else length)
    source.take(4 * has_checksum)
    return source.at, size
