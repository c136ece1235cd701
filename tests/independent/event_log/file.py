"""The file: prefix, sections, index and footer (sections 1, 4, 10 and 12)."""

import re

from . import header
from .batches import Batch
from .checksum import crc32c
from .damage import Damage, NoLog
from .source import Source

MAGIC = b"outlive event log\n"
FORMAT = re.compile(rb"format ([0-9]{5})\n")
REST = re.compile(rb"state (open  |closed)\nheader ([0-9]{8}) bytes, crc32c ([0-9a-f]{8})\n")
PREFIX_BYTES = 83
HEADER_MOST = 1 << 20
FRAME_BYTES = 13
CONTENT_MOST = 64 << 20
FOOTER_BYTES = FRAME_BYTES + 24
SPACING = 1 << 20


class LogFile:
    """A log in memory. Its prefix and header are checked when it is made."""

    def __init__(self, data):
        self.data = data
        length, checksum = self._prefix()
        self.start = PREFIX_BYTES + length
        if length > HEADER_MOST:
            raise Damage(f"a header of {length} bytes", 31)
        if self.start > len(data):
            raise Damage("the file ends within the header", len(data))
        text = data[PREFIX_BYTES : self.start]
        if crc32c(text) != checksum:
            raise Damage("the checksum of the header is wrong", PREFIX_BYTES)
        self.header = _at(PREFIX_BYTES, lambda: header.parse(text))
        # Where batches end, and what was found of them for the index.
        self.end = self.start
        self.count = 0
        self.places = []

    def _prefix(self):
        data = self.data
        if not data or not MAGIC.startswith(data[: len(MAGIC)]):
            raise NoLog("this is no event log")
        if len(data) < 31:
            raise Damage("the file ends within the prefix", len(data))
        version = FORMAT.fullmatch(data, 18, 31)
        if version is None:
            raise Damage("there is no line that tells the version", 18)
        if int(version[1]) != 2:
            raise NoLog(f"this log has format {int(version[1])}, and this reader reads format 2")
        if len(data) < PREFIX_BYTES:
            raise Damage("the file ends within the prefix", len(data))
        rest = REST.fullmatch(data, 31, PREFIX_BYTES)
        if rest is None:
            raise Damage("the prefix is none", 31)
        self.closed = rest[1] == b"closed"
        return int(rest[2]), int(rest[3], 16)

    def batches(self):
        """The batches, each checked as a whole. In the end, `end` is where they end."""
        expected = 0
        while True:
            kind, length = self._look()
            if kind == "end":
                if self.closed:
                    raise Damage("the log was closed, but ends here", self.end)
                return
            if kind == "I":
                return
            content = self._content(self.end, length)
            batch = _at(self.end, lambda: Batch(content, self.end))
            if batch.first != expected:
                raise Damage(f"the batch begins with entry {batch.first}, but {expected} is next", self.end)
            self._note_place(batch)
            yield batch
            expected += batch.count
            self.end += FRAME_BYTES + length

    def _look(self):
        """The kind and the length of the section that begins where the last one ended."""
        if len(self.data) - self.end < FRAME_BYTES:
            return "end", 0
        kind, length = self._frame(self.end)
        if kind == "F":
            raise Damage("a footer stands where a batch or the index belongs", self.end)
        if kind == "B" and length > len(self.data) - self.end - FRAME_BYTES:
            return "end", 0
        return kind, length

    def _frame(self, offset):
        frame = Source(self.data[offset : offset + FRAME_BYTES])
        if crc32c(frame.data[:5]) != int.from_bytes(frame.data[5:9], "little"):
            raise Damage("the checksum of a section's kind and length is wrong", offset)
        kind, length = chr(frame.u8()), frame.fixed(4)
        if kind not in "BIF":
            raise Damage(f"there is no section of kind {kind!r}", offset)
        if length > CONTENT_MOST:
            raise Damage(f"a section of {length} bytes", offset)
        return kind, length

    def _content(self, offset, length):
        begin = offset + FRAME_BYTES
        content = self.data[begin : begin + length]
        checksum = int.from_bytes(self.data[begin - 4 : begin], "little")
        if len(content) < length:
            raise Damage("a section is cut off", offset)
        if crc32c(content, crc32c(self.data[offset : offset + 9])) != checksum:
            raise Damage("the checksum of a section is wrong", offset)
        return content

    def _note_place(self, batch):
        if not self.places or batch.offset - self.places[-1][0] >= SPACING:
            self.places.append((batch.offset, self.count, batch.first, batch.bases.exit, batch.bases.time))
        self.count += 1

    def check_tail(self, entries):
        """Checks index and footer of a closed log that was found to have so many entries."""
        if not self.closed:
            return
        footer_at = max(len(self.data) - FOOTER_BYTES, 0)
        index_at, told_entries, told_batches = self._footer(footer_at)
        if (index_at, told_entries, told_batches) != (self.end, entries, self.count):
            raise Damage("the footer disagrees with the batches that are there", footer_at)
        kind, length = self._frame(index_at)
        if kind != "I" or index_at + FRAME_BYTES + length != footer_at:
            raise Damage("the index does not end where the footer begins", index_at)
        if _at(index_at, lambda: _places(self._content(index_at, length))) != self.places:
            raise Damage("the index disagrees with the batches that are there", index_at)

    def _footer(self, offset):
        if len(self.data) - offset < FOOTER_BYTES:
            raise Damage("there is no footer", offset)
        kind, length = self._frame(offset)
        if kind != "F" or length != 24:
            raise Damage("there is no footer", offset)
        content = Source(self._content(offset, length))
        return [content.fixed(8) for _ in range(3)]

    def torn_bytes(self):
        """How many bytes are behind the last whole batch of an unfinished log."""
        return 0 if self.closed else len(self.data) - self.end


def _places(content):
    source = Source(content)
    places = []
    for _ in range(source.v64()):
        places.append(tuple(source.v64() for _ in range(5)))
    if source.left():
        raise Damage("bytes follow behind the index")
    return places


def _at(offset, read):
    """What `read` gives. Damage that it meets is at `offset`."""
    try:
        return read()
    except Damage as damage:
        raise Damage(damage.reason, offset) from damage
