"""Systems: whatever restores a coded clip, be it a network, a program or a folder of results."""

from apollo_model.evaluation.systems.choose import choose_systems
from apollo_model.evaluation.systems.system import CODEC, Codec, Restored, System, SystemFailure

__all__ = ["CODEC", "Codec", "Restored", "System", "SystemFailure", "choose_systems"]
