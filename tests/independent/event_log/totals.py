"""What there is of each kind (section 13)."""

KINDS = [
    "time-read",
    "clock-tick",
    "console-input",
    "frame-input",
    "disk-completion",
    "interrupt",
    "console-output",
    "frame-output",
    "disk-output",
    "registers",
    "digest",
    "end",
]


class Totals:
    """Counts the entries of a log."""

    def __init__(self, log):
        self.log = log
        self.kinds = {kind: {"kind": kind, "entries": 0, "bytes": 0, "payload_bytes": 0} for kind in KINDS}
        self.totals = {"closed": log.closed, "bytes": len(log.data), "entries": 0, "batches": 0}
        self.totals |= {"guest_nanoseconds": 0, "exits": 0, "instructions": 0}
        self.batch_bytes = self.saved_bytes = 0

    def count(self, entry):
        kind = self.kinds[entry["kind"]]
        kind["entries"] += 1
        kind["bytes"] += entry["bytes"]
        kind["payload_bytes"] += len(entry.get("payload", "")) // 2
        totals = self.totals
        totals["entries"] += 1
        totals["guest_nanoseconds"] = entry["guest_nanoseconds"]
        totals["exits"] = max(totals["exits"], entry.get("exit", 0))

    def count_batch(self, batch):
        self.totals["batches"] += 1
        self.totals["instructions"] = batch.instructions
        self.batch_bytes += batch.beginning_bytes
        self.saved_bytes += batch.saved_bytes()

    def finish(self):
        """The totals. All bytes of the file are in them."""
        log, kinds = self.log, list(self.kinds.values())
        overhead = {
            "header_bytes": log.start,
            "batch_bytes": self.batch_bytes,
            "index_bytes": len(log.data) - log.end if log.closed else 0,
            "torn_bytes": log.torn_bytes(),
            "saved_bytes": self.saved_bytes,
        }
        payload_bytes = sum(kind["payload_bytes"] for kind in kinds)
        return {"payload_bytes": payload_bytes, **self.totals, "kinds": kinds, "overhead": overhead}
