"""Former names of recipe fields, so that recipes in files, checkpoints and model cards of earlier versions are read."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.errors import InputError

RENAMED = {
    "source": {"without": "exclude", "validation": "validation_share", "every": "slice_step"},
    "degradation": {"step": "scale_step", "even": "scale_sampling", "canvas": "slice_sizes"},
    "augmentation": {
        "curve": "intensity_curve",
        "invert": "intensity_inversion",
        "shift": "max_shift",
        "wrong": "wrong_reference",
        "missing": "no_reference",
        "planted": "reference_lesions",
    },
    "loss": {
        "square": "mse",
        "leak": "leakage",
        "consistent": "data_consistency",
        "norm": "kspace_norm",
        "band": "kspace_band",
    },
    "optimisation": {
        "start": "initial_weights",
        "frozen": "freeze_initial_weights",
        "only": "trainable",
        "batch": "batch_size",
        "window": "output_patch",
        "whole": "whole_slices",
        "whole_batch": "whole_slice_batch_size",
        "rate": "learning_rate",
        "matrix_rate": "muon_learning_rate",
        "halve": "halve_every",
        "ema": "ema_decay",
        "clip": "max_gradient_norm",
        "patience": "max_skipped_steps",
        "validate": "validate_every",
        "save": "save_every",
        "slices": "validation_slices",
    },
}
_RENAMED_VALUES = {("degradation", "scale_sampling"): {"difference": "uniform", "ratio": "log-uniform"}}


def current_names(tables: Mapping[str, object]) -> dict[str, object]:
    """The tables of a recipe with former field names replaced by the current ones.

    Raises:
        InputError: a field is given by both names.

    >>> current_names({"name": "mine", "optimisation": {"rate": 1e-4}})
    {'name': 'mine', 'optimisation': {'learning_rate': 0.0001}}
    """
    return {part: _renamed(part, values) for part, values in tables.items()}


def _renamed(part: str, values: object) -> object:
    if isinstance(values, (list, tuple)):  # several [[source]] tables
        return [_renamed(part, entry) for entry in values]
    if not isinstance(values, Mapping):
        return values
    found: dict[str, object] = {}
    for key, value in values.items():
        name = RENAMED.get(part, {}).get(key, key)
        if name in found:
            raise InputError(
                f"Part {part} of the recipe gives {name!r} twice, also by its former name; expected it once. Remove "
                "one of them."
            )
        former_values = _RENAMED_VALUES.get((part, name), {})
        found[name] = former_values.get(value, value) if isinstance(value, str) else value
    return found
