"""What all tests share.

Hypothesis judges results, never how long they took. And in CI
(``SALON_REQUIRE_ENGINES=1``) nothing may be skipped: what the project can install, it
installs.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "salon", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("salon")


def pytest_sessionfinish(session):
    """Fail a run that skipped something where everything is required."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("SALON_REQUIRE_ENGINES") != "1" or reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and not hasattr(session.config, "workerinput"):
        for report in skipped:
            reporter.write_line(f"required, but skipped: {report.nodeid}", red=True)
        session.exitstatus = 1
