"""Apollo: the restoration network, its training and its scores."""

import os

# Threads that spin while they wait for one another steal the cores from whatever else runs:
# beside one busy process, sleeping instead made a forward pass 3.5 times faster. On two quiet
# cores it made training steps about a fifth slower or worse, so whoever has the machine to
# himself sets ACTIVE. It only works before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
