"""Copies, restored backups, wrong clocks and forged messages, for a short while.

`cardmint-lab copies` is the long form.
"""

import random

import pytest

from cardmint_cloud.local.broker import mosquitto_path
from cardmint_lab.copies import run

pytestmark = [pytest.mark.system, pytest.mark.greenlets]


@pytest.mark.skipif(mosquitto_path() is None, reason="needs mosquitto for its access rules")
def test_every_card_is_counted_once_or_has_a_reason_why_not() -> None:
    seed = random.SystemRandom().getrandbits(32)
    outcome = run.run(faults_s=20.0, pace=5.0, seed=seed, say=print)
    assert not outcome.verdict.wrong, f"seed {seed}: {outcome.verdict}"
    assert outcome.verdict.counted > 50
    assert outcome.faults.total() >= 3
