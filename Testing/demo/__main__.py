"""Runs the demonstration and says where everything lies."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from MultiContrastSRLib import methods, save_volume
from MultiContrastSRLib.evaluation import Evaluation, evaluate
from MultiContrastSRLib.image.volume import Volume

from .cases import Case, find_cases
from .comparison import draw_comparison
from .figures import words
from .session import Session
from .study import run_study

PANEL_METHOD = "guided"
REGIONS = {"whole slice": "psnr", "brain": "psnr_brain"}
KEPT = ("bspline", "sinc")  # volumes beside the panel's; table and figure have all methods
TRAINED = ("swift",)  # the others take minutes: `make evaluate` compares them


def compared_methods() -> list[str]:
    """Rows of the table: classical methods, and Swift where torch is installed."""
    return [m.name for m in methods() if (m.group == "classical" or m.name in TRAINED) and m.unavailable() is None]


def kept_methods() -> list[str]:
    """Methods whose volumes are kept, the panel's first."""
    return [PANEL_METHOD, *(name for name in KEPT if name in compared_methods())]


def compare(case: Case, say: Callable[[str], None]) -> Evaluation:
    """All methods against the truth; says which it is at, for some take minutes."""
    reported: set[str] = set()

    def progress(fraction: float, stage: str) -> None:
        if stage not in reported:
            reported.add(stage)
            say(f"  comparing all methods, {fraction:4.0%}: {stage}")

    return evaluate(
        case.truth,
        case.reference,
        methods=compared_methods(),
        scales=(case.scale,),
        register=case.register,
        alone=True,  # none of them looks at a slice's neighbours, and only every third slice is scored
        progress=progress,
    )


def captions(case: Case) -> dict[str, str]:
    """What the panel's picture shows, and in which words."""
    target = case.truth.name
    return {
        PANEL_METHOD: f"result: {words(PANEL_METHOD)}, with the {case.reference.name}",
        "input": f"target: {target}, {case.scale:g} times coarser",
        "truth": f"truth: {target} as scanned",
    }


def describe_gain(case: Case, found: Evaluation) -> str:
    """The table in one line."""
    over = {where: found.difference(case.scale, PANEL_METHOD, name) for where, name in REGIONS.items()}
    gains = ", ".join(f"{gain.mean:+.2f} dB {where}" for where, gain in over.items())
    count = next(iter(over.values())).n
    return f"{case.name}: {PANEL_METHOD} at ×{case.scale:g}, PSNR over sinc: {gains} (n = {count} slices)"


def save_volumes(session: Session, case: Case, folder: Path) -> list[Path]:
    """Every node of a case as NIfTI."""
    from MultiContrastSRLib.mrml import volume_from_node

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for key, node in session.nodes[case.name].items():
        contrast = case.reference.name if key == "reference" else case.truth.name
        volume: Volume = volume_from_node(node)
        paths.append(save_volume(volume, folder / f"{contrast}-{key}.nii.gz"))
    return paths


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="default demo-output")
    output = parser.parse_args(arguments).output
    output.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - begin:5.1f} s] {text}", flush=True)

    cases = find_cases(say)
    session = Session()
    written: list[Path] = []
    tables, gains = [], []
    table = output / "comparison.md"
    for case in cases:
        say(f"{case.name}: {case.title}")
        session.add(case)
        for method in kept_methods():
            if method == PANEL_METHOD:
                say(f"  panel: {session.apply(case, method).splitlines()[0]}")
            else:
                session.process(case, method)
        written.append(session.picture(case, captions(case), output / f"{case.name}-panel.png"))
        found = compare(case, say)
        written.append(draw_comparison(case, found, output / f"{case.name}-comparison.png"))
        tables.append(f"# {case.name}\n\n{case.title}.\n\n{found.table('markdown')}")
        table.write_text("\n\n".join(tables) + "\n", encoding="utf-8")
        gains.append(describe_gain(case, found))
        written += save_volumes(session, case, output / case.name)
        say(f"  {gains[-1]}")
    if "joint-nonlocal" in {m.name for m in methods() if m.unavailable() is None} and cases[0].name != "phantom":
        from .thick import as_acquired, known_truth

        say("patient26: T1 in sagittal, FLAIR in coronal slices of 4 mm, made isotropic")
        written += known_truth(output, say)
        say("patient12: FLAIR and T2 as acquired, made isotropic")
        written += as_acquired(output, say)
    say("a study of three subjects in one command")
    page, folders = run_study(output, say)
    written += folders
    say("saving the scene")
    written += [table, session.save(output / "scene.mrb")]
    session.close()

    print("\nWritten:")
    print("\n".join(f"  {path}" for path in written))
    print("\n" + "\n".join(gains))
    print("Research use only; not for diagnosis. Super-resolved detail is an estimate, not a measurement.")
    print(f"Open {written[0]} and {table}; {output / 'scene.mrb'} opens in Slicer.")
    print(f"The page of the study: {page}")
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
