"""What all tests share: hypothesis judges results, never how long they took."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "salon", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("salon")
