"""Following a tenant's feed: each event once and in order, and what is missing asked for.

`Following` knows nothing of the network: give it what came from the broker, and publish what it
asks for. docs/feed.md has a whole program.
"""

from uuid import UUID

from cardmint_contracts import topics
from cardmint_contracts.errors import ContractError
from cardmint_contracts.feed import FEED_TYPES, FeedEvent, ReplayRefusal, ReplayRequest
from cardmint_contracts.wire import decode, encode

ASK_AGAIN_S = 2.0
"""Seconds after which an answer that did not come is asked for again."""

MOST_AHEAD = 10_000
"""Events that are held until those before them come; further ones come again by replay."""


class FeedRefused(ContractError):
    """The feed cannot be followed from where it was; `refusal` says why, and what is kept."""

    def __init__(self, refusal: ReplayRefusal) -> None:
        super().__init__(f"{refusal.reason}: {refusal.detail}")
        self.refusal = refusal


class Following:
    """Where a program is in a tenant's feed: `last`, within `stream`. Keep both to go on later."""

    def __init__(
        self, tenant: str, reader: str, *, last: int = 0, stream: UUID | None = None
    ) -> None:
        self.last, self.stream = last, stream
        self.repeated = 0
        self.request_topic = topics.replay_topic(tenant, reader)
        self.answer_topic = topics.replay_answer_topic(tenant, reader)
        kinds = sorted({kind.steps.split("/")[0] for kind in FEED_TYPES.values()})
        self.subscriptions = (
            *(topics.feed_topic(tenant, f"{kind}/+") for kind in kinds),
            self.answer_topic,
        )
        self._ahead: dict[int, FeedEvent] = {}
        self._behind = True
        self._asked_at: float | None = None
        self._answering = False

    def connected(self) -> None:
        """Ask for what came meanwhile: to be called after each connection."""
        self._behind, self._asked_at, self._answering = True, None, False

    def request(self, now: float) -> bytes | None:
        """Return what to publish on `request_topic`, with `answer_topic` as the response topic.

        None while nothing is missing, or while the answer may still come. `now` is in seconds of a
        clock that never goes back. Call it after each message, and once a second.
        """
        if self._answering:
            self._answering, self._asked_at = False, now
        waiting = self._asked_at is not None and now < self._asked_at + ASK_AGAIN_S
        if waiting or not (self._behind or self._ahead):
            return None
        self._asked_at = now
        return encode(ReplayRequest(first=self.last + 1, stream=self.stream))

    def take(self, topic: str, payload: bytes, *, newest: int | None = None) -> list[FeedEvent]:
        """Return the events that are next, in order, now that a message came.

        `newest` is the user property of that name.

        Raises:
            FeedRefused: what was asked for cannot be had, or the feed is another one.
            ContractError: the message is none of the feed.
        """
        if topic != self.answer_topic:
            return self._next([decode(payload, FeedEvent)])
        if not payload.lstrip().startswith(b"["):
            self._behind = False  # Who is refused decides what to do.
            raise FeedRefused(decode(payload, ReplayRefusal))
        ready = self._next(decode(payload, list[FeedEvent]))
        self._answering = newest is None
        if newest is not None:
            self._asked_at, self._behind = None, newest > self.last
        return ready

    def _next(self, events: list[FeedEvent]) -> list[FeedEvent]:
        ready: list[FeedEvent] = []
        for event in events:
            self.stream = self.stream or event.stream
            if event.stream != self.stream:
                told = f"the feed is {event.stream} now, not {self.stream}: begin anew"
                raise FeedRefused(ReplayRefusal(reason="other-stream", detail=told))
            if event.number <= self.last or event.number in self._ahead:
                self.repeated += 1
            elif len(self._ahead) < MOST_AHEAD or event.number == self.last + 1:
                self._ahead[event.number] = event
            while (found := self._ahead.pop(self.last + 1, None)) is not None:
                ready.append(found)
                self.last += 1
        return ready
