"""The checks that `rayfort verify` runs against a live platform.

`collect.observe` looks at a cluster through a `cluster.Connection`; `report.judge` judges what was seen,
without a cluster. A check that saw nothing did not run: it never passes.
"""

from rayfort.conformance.check import Check, Scope, Status, Verdict
from rayfort.conformance.cluster import Connection
from rayfort.conformance.observations import Observations
from rayfort.conformance.report import Report, judge

__all__ = ["Check", "Connection", "Observations", "Report", "Scope", "Status", "Verdict", "judge"]
