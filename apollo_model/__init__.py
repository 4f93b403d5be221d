"""Apollo: the restoration network, its training and its scores."""

import os

# Threads that spin while they wait for one another steal the cores from whatever else runs:
# beside one busy process, sleeping instead made a forward pass 3.5 times faster, and on two
# idle cores a training step 5 to 20 % slower. It only works before torch is loaded, and
# anybody may set it otherwise.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
