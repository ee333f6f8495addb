"""Evaluation: degrade real scans, super-resolve them, and measure what came back.

    from MultiContrastSRLib.evaluation import evaluate, evaluate_study
    found = evaluate("T2.nii.gz", "T1.nii.gz", methods=["bspline", "sinc", "guided"], protocol="p3", scales=(2, 3, 4))
    print(found.table("text"))
    found.save("comparison.png")
    study = evaluate_study("open_ms_data", ["patient26"], [("T2", "T1"), ("FLAIR", "T1")], protocol="p3")
    print(study.table())

See `protocols` for what p1 to p4 mean, `metrics` for the formulas, `statistics` for means and intervals, and the probes
`lesions` (what is kept, what leaks) and `robustness` (wrong references). LPIPS is not computed: the weights of its
networks do not come with any package, and nothing is downloaded behind a user's back.
"""

from .baselines import MASK_TRICK
from .bidirectional import both_ways
from .cohort import evaluate_study, probe_lesions_of
from .layout import Layout
from .method_under_test import Entry
from .probes.lesion_findings import LesionFindings
from .probes.lesions import probe_lesions
from .probes.robustness import RobustnessFindings, robustness_rows
from .protocols.protocol import PROTOCOLS, Protocol
from .results import Evaluation
from .run import evaluate
from .study import BETTER, Study, study_of

__all__ = [
    "BETTER",
    "MASK_TRICK",
    "PROTOCOLS",
    "Entry",
    "Evaluation",
    "Layout",
    "LesionFindings",
    "Protocol",
    "RobustnessFindings",
    "Study",
    "both_ways",
    "evaluate",
    "evaluate_study",
    "probe_lesions",
    "probe_lesions_of",
    "robustness_rows",
    "study_of",
]
