"""What is tried at the door and behind it, a row each."""

from __future__ import annotations

from tests.kbatch.attacks_in_jobs import JOBS
from tests.kbatch.attacks_on_the_door import AMOUNTS, CRON, DOOR, OTHERS
from tests.kbatch.attacks_past_the_door import ACCOUNT, PAST_THE_PROXY, PODS

ATTACKS = (*DOOR, *OTHERS, *JOBS, *AMOUNTS, *CRON, *ACCOUNT, *PAST_THE_PROXY, *PODS)
