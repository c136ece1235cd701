#!/usr/bin/env python3
"""Reads an event log of Outlive: an independent reader, written from docs/log-format.md alone.

It shares no code with Outlive. A test runs it on real logs and compares what it says with what `outlive log` says, so
that the page is known to be enough, and true. It needs Python 3.11 with its standard library, and the command `zstd`.

It checks everything that the page asks for (section 11), the order of entries too. The exit status is 0 for a good log,
closed or unfinished; 1 for a damaged one, behind the entries that are good; 2 for what is no log, or one of another
format.
"""

import argparse
import json
import sys

sys.dont_write_bytecode = True

from event_log.damage import Damage, NoLog  # noqa: E402
from event_log.file import LogFile  # noqa: E402
from event_log.order import Order  # noqa: E402
from event_log.totals import Totals  # noqa: E402


def read(log, show):
    """Reads a log to its end, shows each entry, and returns the totals."""
    order, totals = Order(), Totals(log)
    for batch in log.batches():
        order.begin_batch(batch)
        for entry in batch.entries():
            order.follow(entry)
            totals.count(entry)
            show(entry)
        order.end_batch(batch)
        totals.count_batch(batch)
    log.check_tail(order.next_entry)
    order.finish(log.closed)
    return totals.finish()


def print_line(value):
    """Prints a line of JSON."""
    json.dump(value, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


def main():
    parser = argparse.ArgumentParser(description="Prints the entries of an event log, one line of JSON each.")
    parser.add_argument("log", metavar="FILE")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--header", action="store_true", help="print the header instead")
    what.add_argument("--totals", action="store_true", help="print what there is of each kind instead")
    arguments = parser.parse_args()
    try:
        with open(arguments.log, "rb") as file:
            log = LogFile(file.read())
        if arguments.header:
            print_line(log.header)
            return 0
        totals = read(log, (lambda entry: None) if arguments.totals else print_line)
        if arguments.totals:
            print_line(totals)
        return 0
    except NoLog as error:
        print(f"read_log: {error}", file=sys.stderr)
        return 2
    except Damage as damage:
        sys.stdout.flush()
        print(f"read_log: {damage}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
