"""The order of entries (section 11)."""

from .batches import Bases
from .damage import Damage


class Order:
    """What has been read so far."""

    def __init__(self):
        self.next_entry = 0
        self.ended = False
        self.bases = Bases(0, 0, 0, 0)
        self.time = 0
        self.point = (0, 0)
        self.instructions = 0
        self.offset = 0

    def begin_batch(self, batch):
        self.offset = batch.offset
        self._check(batch.bases == self.bases, "the batch begins with other bases than the one before has ended with")
        self._check(batch.instructions >= self.instructions, "the count of instructions goes back")
        self.instructions = batch.instructions

    def end_batch(self, batch):
        context = batch.context
        self.bases = Bases(context.exit, context.time, context.tick, context.distance)

    def follow(self, entry):
        self._check(not self.ended, f"entry {entry['entry']} stands behind the end")
        self.next_entry += 1
        self.ended = entry["kind"] == "end"
        if entry["kind"] in ("time-read", "clock-tick"):
            self._told(entry["guest_nanoseconds"])
        if "since_exit" in entry:
            state = entry.get("state")
            at = state["at"] if state else entry
            self._passed((at["exit"], at["since_exit"]))
        if "state" in entry:
            self._told(entry["state"]["time"])
        if "exit" in entry and entry["exit"] != self.point[0]:
            self._passed((entry["exit"], 0))

    def finish(self, closed):
        self._check(self.ended or not closed, "the log was closed, but its last entry is no end")

    def _told(self, time):
        self._check(time >= self.time, f"guest time goes back from {self.time} to {time}")
        self.time = time

    def _passed(self, point):
        self._check(point >= self.point, f"landmarks go back from {self.point} to {point}")
        self.point = point

    def _check(self, holds, reason):
        if not holds:
            raise Damage(reason, self.offset)
