"""A demonstration and measurements. Uses the library as a program would; nothing imports it."""

import os

# Threads that wait must not spin: on a busy machine that made encoding fifteen times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
