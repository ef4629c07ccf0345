"""Everything fails at random, for a short while; `make chaos` is the long form."""

import random

import pytest

from cardmint_cloud.local.broker import BrokerKind
from cardmint_lab import chaos

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]


@pytest.mark.parametrize(("kind", "seconds"), [("mosquitto", 7.0), ("iotcore", 3.0)])
def test_whatever_fails_everything_is_there_once_and_in_order(
    kind: BrokerKind, seconds: float
) -> None:
    seed = random.SystemRandom().getrandbits(32)
    outcome = chaos.run(
        events=2000, stations=10, batch=10, faults_s=seconds, seed=seed, kind=kind, say=print
    )
    assert not outcome.wrong, f"seed {seed}: {outcome.wrong}"
    assert outcome.faults.total() >= 1
    assert outcome.told >= 2000
