"""Evaluation: degrade a real scan, super-resolve it, and measure what came back.

    from MultiContrastSRLib.evaluation import evaluate
    found = evaluate("T2.nii.gz", "T1.nii.gz", methods=["bspline", "sinc", "guided"], protocol="p3", scales=(2, 3, 4))
    print(found.table("text"))
    found.save("comparison.png")

See `protocols` for what p1 to p4 mean and `metrics` for the formulas.
"""

from .baselines import MASK_TRICK
from .entries import Entry
from .protocols import PROTOCOLS, Protocol
from .results import Evaluation
from .run import evaluate

__all__ = ["MASK_TRICK", "PROTOCOLS", "Entry", "Evaluation", "Protocol", "evaluate"]
