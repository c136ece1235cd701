"""Entries (section 6)."""

from . import state
from .damage import Damage
from .source import MASK, unzigzag

REMEMBERED = 16
UPPER_HALF = 0xFFFFFFFF80000000
STEP = 256
OPERATIONS = {19: "read", 20: "write", 21: "flush"}


class Context:
    """What entries are differences to."""

    def __init__(self, bases):
        self.time = bases.time
        self.tick = bases.tick
        self.distance = bases.distance
        self.exit = bases.exit
        self.since = 0
        self.rips = [0] * REMEMBERED
        self.vector = 0
        self.request = 0

    def entry(self, source):
        """The next entry: its kind, and what it says."""
        leading = source.v64()
        group, number = leading & 3, leading >> 2
        if group == 0:
            return self._time_after(number)
        if group == 1:
            if number > 255:
                raise Damage("a medium time read with too many steps")
            return self._time_after(63 + 256 * number + source.take_noise(1))
        if group == 2:
            place = self._landmark(number & 7, source)
            kind, fields = self._at_landmark(number >> 3, source)
            return kind, {**place, **fields}
        return self._other(number, source)

    # Time.

    def _time_after(self, steps):
        time = max(self.time, STEP * (self.time // STEP + steps))
        if STEP * (self.time // STEP + steps) > MASK:
            raise Damage("a time that is too large")
        self.time = time
        return "time-read", {}

    def _tick(self, error):
        tick = (self.tick + self.distance + error) & MASK
        self.distance = (tick - self.tick) & MASK
        self.tick = self.time = tick
        return "clock-tick", {}

    # Landmarks.

    def _exits(self, exits):
        if exits:
            self.exit = (self.exit + exits) & MASK
            self.since = 0
        return self.exit

    def _landmark(self, form, source):
        if form == 7:
            raise Damage("there is no landmark of form 7")
        if 1 <= form <= 4:
            self._exits(source.v64())
            self.since = source.v64() if form >= 3 else 0
        elif form >= 5:
            self.since = (self.since + source.v64()) & MASK
        if form in (2, 4, 6):
            self._written_rip(source)
        return {"exit": self.exit, "since_exit": self.since, "rip": hex(self.rips[0])}

    def _written_rip(self, source):
        code = source.v128()
        if code < REMEMBERED:
            rip = self.rips[code]
        else:
            half, distance = code - REMEMBERED & 1, code - REMEMBERED >> 1
            if distance > MASK:
                raise Damage("a RIP that is too far")
            near = next((rip for rip in self.rips if rip >> 63 == half), half * UPPER_HALF)
            rip = (near + unzigzag(distance)) & MASK
        if rip in self.rips:
            self.rips.remove(rip)
        else:
            self.rips.pop()
        self.rips.insert(0, rip)

    # What happens at a landmark.

    def _at_landmark(self, kind, source):
        if kind in (0, 1):
            if kind == 1:
                self.vector = source.u8()
            return "interrupt", {"vector": self.vector, "check": source.take_noise(2)}
        if kind in (2, 3):
            return self._tick(unzigzag(source.v64()) if kind == 3 else 0)
        if kind in (4, 5):
            network = source.u8() if kind == 5 else 0
            return "frame-input", {"network": network, **_payload(source)}
        if kind == 6:
            return self._disk_completion(source)
        if kind == 7:
            return "console-input", _payload(source)
        raise Damage(f"there is no entry of kind {kind} at a landmark")

    def _disk_completion(self, source):
        disk, failed = source.u8(), source.flag()
        self.request = (self.request + unzigzag(source.v64())) & MASK
        fields = {"disk": disk, "request": self.request, "failed": failed}
        return "disk-completion", {**fields, **_payload(source)}

    # Everything else.

    def _other(self, kind, source):
        if kind == 22:
            self.time = (self.time + unzigzag(source.v64())) & MASK
            return "time-read", {}
        if kind == 23:
            return "registers", {"registers": state.registers(source)}
        if kind == 24:
            return "digest", _with_place(state.digest(source))
        if kind == 25:
            end = state.end(source)
            fields = _with_place(end["state"]) if end["state"] else {}
            return "end", {**fields, "exit": end["exit"], "reason": end["reason"]}
        return self._output(kind, source)

    def _output(self, kind, source):
        if kind > 21:
            raise Damage(f"there is no entry of kind {kind}")
        fields = {"exit": self._exits(kind if kind < 16 else source.v64())}
        name = "console-output"
        if kind in (17, 18):
            name = "frame-output"
            fields["network"] = source.u8() if kind == 18 else 0
            fields["length"] = source.v32()
        elif kind in OPERATIONS:
            name = "disk-output"
            fields |= {"disk": source.u8(), "operation": OPERATIONS[kind], "length": source.v32()}
        return name, {**fields, "check": source.take_noise(2)}


def _payload(source):
    """Bytes from the world, unless there are none."""
    payload = source.bytes()
    return {"payload": payload.hex()} if payload else {}


def _with_place(digest):
    """A digest, and its landmark as other entries have theirs."""
    at = digest["at"]
    place = {"exit": at["exit"], "since_exit": at["since_exit"], "rip": hex(at["rip"])}
    return {**place, "state": digest}
