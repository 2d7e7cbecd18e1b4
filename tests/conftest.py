"""Two workers share the machine's cores, so torch must neither take two threads in each nor spin while it waits.

Tests that need a number of threads set it themselves, as runs do (`run.threads`).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
