"""What can go wrong at a station, split by what the caller does about it.

EdgeError               one line for a person: what, where, how to mend it
├── Retry               may go by itself: a camera asleep, a broker away
├── Park                this one item cannot be used: it is set aside with the reason, work goes on
└── Stop                nothing more can be counted: a broken pack, a full disk, a wrong setting
"""


class EdgeError(Exception):
    """Something that a person can read and mend."""


class Retry(EdgeError):
    """May go by itself; try again later."""


class Park(EdgeError):
    """This item cannot be used; set it aside and go on."""


class Stop(EdgeError):
    """Going on would lose or miscount something."""
