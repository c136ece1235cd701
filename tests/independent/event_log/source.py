"""Numbers and strings of bytes (section 3)."""

from .damage import Damage

MASK = (1 << 64) - 1

# By the first byte of a variable number: how many bytes follow.
LONG = {251: 2, 252: 4, 253: 8, 254: 16}


def unzigzag(number):
    """The difference, modulo 2^64, that a number tells."""
    return (number >> 1) ^ (-(number & 1) & MASK)


class Source:
    """Bytes that are read from the front. Noise comes from elsewhere if there is any elsewhere."""

    def __init__(self, data, noise=None):
        self.data = data
        self.at = 0
        self.noise = noise

    def left(self):
        """How many bytes are left, with the noise that is elsewhere."""
        return len(self.data) - self.at + (self.noise.left() if self.noise else 0)

    def take(self, count):
        """So many bytes as they are."""
        if count > len(self.data) - self.at:
            raise Damage("the bytes end too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def take_noise(self, count):
        """A number in so many bytes of noise."""
        return int.from_bytes((self.noise or self).take(count), "little")

    def fixed(self, count):
        """A number in so many bytes."""
        return int.from_bytes(self.take(count), "little")

    def u8(self):
        """A number in one byte."""
        return self.take(1)[0]

    def flag(self):
        """A byte that says no or yes."""
        byte = self.u8()
        if byte > 1:
            raise Damage(f"{byte} is no flag")
        return byte == 1

    def variable(self, bits):
        """A variable number of at most so many bits."""
        first = self.u8()
        if first <= 250:
            return first
        count = LONG.get(first)
        if count is None or 8 * count > bits:
            raise Damage(f"{first} begins no number of {bits} bits")
        return self.fixed(count)

    def v16(self):
        return self.variable(16)

    def v32(self):
        return self.variable(32)

    def v64(self):
        return self.variable(64)

    def v128(self):
        return self.variable(128)

    def bytes(self):
        """A length and so many bytes."""
        return self.take(self.v64())
