"""Errors of the service, one class for each thing that a caller can do about them.

CloudError              one line for a person: what, where, how to mend it
├── RetryLater          passes by itself: Postgres or the broker is away, a provider is busy
│   └── MissingPartition  the log has no partition for this month: make it first
├── ParkItem            this one item cannot be used: store it with the reason and go on
├── NotFound            the thing does not exist, or no longer
├── Conflict            somebody else was first: the message says what is true now
└── StopService         the service cannot run: a wrong setting, a database of another version
"""


class CloudError(Exception):
    """An error with a message that a person can read and act on."""


class RetryLater(CloudError):
    """The same call may succeed later."""


class MissingPartition(RetryLater):
    """The log has no partition for this month; make it, then try again."""


class ParkItem(CloudError):
    """This item cannot be used; store it with the reason and go on."""


class NotFound(CloudError):
    """The thing does not exist, or no longer."""


class Conflict(CloudError):
    """Somebody else was first."""


class StopService(CloudError):
    """The service cannot run like this."""
