"""The header (section 2)."""

import re
import tomllib

from .damage import Damage


def _integer(least):
    return lambda value: type(value) is int and least <= value < 1 << 63


def _text(value):
    return type(value) is str


def _boolean(value):
    return type(value) is bool


def _digits(value):
    return _text(value) and re.fullmatch("[0-9a-fA-F]{64}", value) is not None


def _table(keys, optional=()):
    def matches(value):
        if type(value) is not dict or not value.keys() <= keys.keys():
            return False
        missing = keys.keys() - value.keys()
        return missing <= set(optional) and all(keys[key](value[key]) for key in value)

    return matches


def _tables(keys):
    matches = _table(keys)
    return lambda value: type(value) is list and all(matches(each) for each in value)


NUMBER, MOMENT = _integer(0), _integer(-(1 << 63))
IMAGE = _table({"path": _text, "bytes": NUMBER, "digest": _digits})
MACHINE = {
    "memory": NUMBER,
    "command-line": _text,
    "random-seed": _digits,
    "wall-clock": MOMENT,
    "rewritten-time-reads": _boolean,
}
DISK = {"path": _text, "sectors": NUMBER, "read-only": _boolean, "serial": _text, "digest": _digits}
HEADER = _table(
    {
        "engine": _text,
        "counting": lambda value: value in ("steps", "windows"),
        "version": _text,
        "recorded": MOMENT,
        "machine": _table(MACHINE),
        "kernel": IMAGE,
        "initramfs": IMAGE,
        "disk": _tables(DISK),
        "network": _tables({"mac": _text}),
    },
    optional=("initramfs", "disk", "network"),
)


def parse(data):
    """The header that the bytes are."""
    try:
        header = tomllib.loads(data.decode())
    except ValueError as error:
        raise Damage(f"the header is no TOML: {error}") from error
    if not HEADER(header):
        raise Damage("the header says something else than a header says")
    return header
