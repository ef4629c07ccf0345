"""What can go wrong in the service, split by what the caller does about it.

CloudError              one line for a person: what, where, how to mend it
├── Retry               may go by itself: Postgres or the broker away, a provider busy
├── Park                this one item cannot be used: it is set aside with the reason, work goes on
├── NotFound            there is no such thing, or no longer
├── Conflict            somebody else was first: the caller is told what is true now
└── Stop                the service cannot run: a wrong setting, a database of another version
"""


class CloudError(Exception):
    """Something that a person can read and mend."""


class Retry(CloudError):
    """May go by itself; try again later."""


class Park(CloudError):
    """This item cannot be used; set it aside and go on."""


class NotFound(CloudError):
    """There is no such thing, or no longer."""


class Conflict(CloudError):
    """Somebody else was first."""


class Stop(CloudError):
    """The service cannot run like this."""
