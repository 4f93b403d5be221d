"""ViSQOL in audio mode: how similar two sounds seem to a listener, from 1 (bad) to 4.73 (same).

The algorithm is that of Google's ViSQOL 3 (Chinen et al. 2020, arXiv 2004.09584; Hines et al.
2015), written anew with numpy and scipy alone. The support vectors in `quality_model.txt` are
Google's (Apache-2.0, see docs/licences.md).
"""

from apollo_model.evaluation.visqol.gammatone import SAMPLE_RATE
from apollo_model.evaluation.visqol.score import VisqolReference, visqol

__all__ = ["SAMPLE_RATE", "VisqolReference", "visqol"]
