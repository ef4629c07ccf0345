"""The station's errors, split by what the caller does.

EdgeError           one line for a person: what is wrong, where, and the remedy
├── Retry           may pass, so try again: a camera asleep, a broker away
├── Park            this item cannot be used: set it aside with the reason, and go on
└── Stop            nothing more can be counted: a damaged pack, a full disk, a wrong setting
"""


class EdgeError(Exception):
    """An error with a message for the operator."""


class Retry(EdgeError):
    """The error may pass: try again later."""


class Park(EdgeError):
    """This item cannot be used: set it aside, and go on."""


class Stop(EdgeError):
    """Going on would lose cards or count them wrongly."""
