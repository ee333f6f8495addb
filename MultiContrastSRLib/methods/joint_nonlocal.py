"""Joint non-local means: joint total variation, refined by means over voxels with similar patches."""

from __future__ import annotations

from .contract import Option, register
from .joint_tv import JointTV


@register
class JointNonLocal(JointTV):
    """See `summary` and `MultiContrastSRLib.joint.nonlocal_means`."""

    name = "joint-nonlocal"
    label = "Joint non-local means"
    summary = (
        "Joint total variation, refined by patches near by that look alike in both contrasts: sharper between thick "
        "slices. No training."
    )
    order = 25
    options = (
        *JointTV.options,
        Option(
            "rounds", 4, "Rounds of refinement", "More changes little; 0 is joint total variation.", 0, 12, zero="none"
        ),
    )
    citation = (
        "Manjón, Coupé, Buades et al., Medical Image Analysis 14(6), 2010 (non-local upsampling); Buades, Coll, Morel, "
        "CVPR 2005; joint total variation as above"
    )
