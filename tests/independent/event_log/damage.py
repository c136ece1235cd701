"""Why a log cannot be read."""


class NoLog(Exception):
    """The file is no log, or one of another format."""


class Damage(Exception):
    """The log has changed, or makes no sense. Known to be at `offset`, once somebody has said so."""

    def __init__(self, reason, offset=None):
        super().__init__(reason)
        self.reason = reason
        self.offset = offset

    def __str__(self):
        return f"damaged at byte {self.offset}: {self.reason}"
