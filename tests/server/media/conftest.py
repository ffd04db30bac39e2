"""Property tests try the same inputs in every run, and are not timed: a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
