"""Evaluation: degrade real scans, super-resolve them, and compare the results with the truth.

    from MultiContrastSRLib.evaluation import evaluate, evaluate_study
    found = evaluate("T2.nii.gz", "T1.nii.gz", methods=["bspline", "sinc", "guided"], protocol="p3", scales=(2, 3, 4))
    print(found.table("text"))
    found.save("comparison.png")
    study = evaluate_study("open_ms_data", ["patient26"], [("T2", "T1"), ("FLAIR", "T1")], protocol="p3")
    print(study.table())

Folders: `protocols` (what p1 to p4 mean, which slices are scored), `metrics` (formulas, means and intervals), `probes`
(lesions kept or leaked, wrong references) and `tables` (text, CSV, JSON, figures). LPIPS is not computed: the weights
of its networks do not come with any package, and nothing is downloaded without being asked for.
"""

from .baselines import BETTER, MASK_TRICK
from .bidirectional import evaluate_bidirectional
from .cohort import evaluate_study, probe_lesions_of
from .layout import Layout
from .method_under_test import MethodUnderTest
from .probes.lesion_findings import LesionFindings
from .probes.lesions import probe_lesions
from .probes.robustness import RobustnessFindings, robustness_rows
from .protocols.protocol import PROTOCOLS, Protocol
from .results import Evaluation
from .run import evaluate
from .study import Study, study_of

__all__ = [
    "BETTER",
    "MASK_TRICK",
    "PROTOCOLS",
    "Evaluation",
    "Layout",
    "LesionFindings",
    "MethodUnderTest",
    "Protocol",
    "RobustnessFindings",
    "Study",
    "evaluate",
    "evaluate_bidirectional",
    "evaluate_study",
    "probe_lesions",
    "probe_lesions_of",
    "robustness_rows",
    "study_of",
]
