"""Train a network by a recipe; the same command resumes a training run.

Data come from a folder (--data, or MULTICONTRASTSR_DATA) or from a data pack, a single file that --pack makes from
them, for example to train on another machine; recipes with the same sources and label maps can use it. Without a
recipe the names of those that ship with the library are printed.

  multicontrastsr train dual-arbnet-light --data scans --output run --export weights.safetensors
  multicontrastsr train dual-arbnet-light --data scans --pack training.npz
  multicontrastsr train dual-arbnet-light --from training.npz --output run --device cuda --minutes 25
  multicontrastsr train dual-arbnet-light --data scans --pack training.npz --output run --export weights.safetensors
  torchrun --nproc-per-node 2 -m MultiContrastSRLib.cli train dual-arbnet-ixi --data IXI --output run --device cuda
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .console import add_overwrite, print_json, running, warn

if TYPE_CHECKING:
    from ..training.data.pack import Pack
    from ..training.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this verb."""
    parser.add_argument("recipe", nargs="?", help="name of a recipe, or a .toml file")
    parser.add_argument("--data", metavar="FOLDER", help="scans (default: the folder in MULTICONTRASTSR_DATA)")
    parser.add_argument("--from", dest="packed", metavar="FILE", help="a data pack instead of scans")
    parser.add_argument(
        "--pack", metavar="FILE", help="data pack (.npz), made if it is missing; then trains in --output"
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", help="for checkpoint, curve and log; resumes from them")
    parser.add_argument("--export", metavar="FILE", help="write the weights (.safetensors) and their card at the end")
    parser.add_argument("--set", action="append", default=[], metavar="PART.FIELD=VALUE", help="change the recipe")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="time limit; run it again to go on; with --export, 0 only exports"
    )
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N, mps or xpu")
    parser.add_argument(
        "--workers", type=int, metavar="N",
        help="processes that make batches (default on a GPU: the cores but one; 0: the device makes them)",
    )  # fmt: skip
    add_overwrite(parser)


def run(parsed: argparse.Namespace) -> None:
    """Train, make a data pack, or export the weights."""
    started = time.monotonic()
    from ..core.errors import OptionError
    from ..training.recipe_file import load_recipe, recipe_names

    if parsed.recipe is None:
        names = recipe_names()
        return print_json({"recipes": names}) if parsed.json else print("\n".join(names))
    if not (parsed.pack or parsed.output):
        raise OptionError("Neither --output nor --pack is given; expected the folder to train in, or a pack to make.")
    if parsed.minutes is not None and not parsed.minutes >= 0:
        raise OptionError(f"--minutes is {parsed.minutes:g}; expected 0 or more. Leave it out for no limit.")
    changes = {}
    for text in parsed.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise OptionError(f"Change is {text!r}; expected PART.FIELD=VALUE, for example optimisation.batch=4.")
        changes[key] = value
    recipe = load_recipe(parsed.recipe, changes)
    parsed.quiet = parsed.quiet or not _is_main()
    with running(parsed) as callbacks:
        if parsed.pack and not parsed.output:
            done = _make_pack(parsed, recipe, callbacks)
        else:
            done = _train_or_export(parsed, recipe, callbacks, started)
    if not _is_main():
        return
    if parsed.json:
        print_json(done)
    else:
        print(done["summary"])


def _is_main() -> bool:
    """Whether this is the one of the processes that torchrun started which prints and exports."""
    return os.environ.get("RANK", "0") == "0"


def _make_pack(parsed: argparse.Namespace, recipe: Recipe, callbacks: dict) -> dict[str, object]:
    from ..io.files import check_place
    from ..training.data.pack import save_pack

    place = Path(parsed.pack)
    check_place(place, overwrite=parsed.overwrite)
    pack = _scans(parsed, recipe, callbacks)
    save_pack(pack, place)
    size = place.stat().st_size
    about = f"{place}: {len(pack.stacks)} stacks, {len(pack.labels)} label maps, {size / 2**20:.1f} MiB"
    return {"file": str(place), "bytes": size, "sources": list(pack.sources), "summary": about}


def _train_or_export(parsed: argparse.Namespace, recipe: Recipe, callbacks: dict, started: float) -> dict[str, object]:
    from ..core.errors import MethodUnavailableError
    from ..io.files import check_different

    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MethodUnavailableError(
            f"Training needs PyTorch ({error}); install it: pip install 'multicontrastsr[train]'."
        ) from error
    from ..training.checkpoint import check_recipe, load_state
    from ..training.export import check_export, export
    from ..training.optimiser import check_optimiser

    check_optimiser(recipe.optimisation)
    if parsed.export:
        place = check_export(parsed.export, overwrite=parsed.overwrite)
        packs = {flag: Path(file) for flag, file in (("--pack", parsed.pack), ("--from", parsed.packed)) if file}
        curve = {} if parsed.output is None else {"the curve of --output": Path(parsed.output) / "curve.json"}
        check_different({"--export": place, "the card of --export": place.with_suffix(".json"), **packs, **curve})
    pack = _data(parsed, recipe, callbacks)
    done: dict[str, object] = {"finished": True}
    if parsed.minutes != 0 or not parsed.export:
        done = _train(parsed, recipe, pack, callbacks, started)
    if parsed.export and done["finished"] and _is_main():
        check_recipe(load_state(parsed.output), recipe, parsed.output)
        # the file's name alone: cards are published, and folders of one's own have no place there
        arguments = [Path(parsed.recipe).name, *(text for change in parsed.set for text in ("--set", change))]
        files = export(parsed.output, parsed.export, pack, arguments=arguments, overwrite=parsed.overwrite)
        done["files"] = [str(path) for path in files]
        done["summary"] = "\n".join([*([done["summary"]] if "summary" in done else []), *done["files"]])
    return done


def _train(
    parsed: argparse.Namespace, recipe: Recipe, pack: Pack, callbacks: dict, started: float
) -> dict[str, object]:
    from ..core.devices import ACCELERATOR, resolve_device
    from ..training.loop import train

    # of torchrun's processes each touches its own GPU only
    requested = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if parsed.device == "cuda" else parsed.device
    device, note = resolve_device(requested, ("cpu", ACCELERATOR), recipe.spec.network)

    def report(text: str) -> None:
        if not parsed.quiet:
            print(text, file=sys.stderr, flush=True)

    if note:
        report(note)
    elapsed = (time.monotonic() - started) / 60
    if parsed.minutes is not None and elapsed > parsed.minutes / 2 and not parsed.packed:
        report(
            f"Reading the data took {elapsed:.1f} of {parsed.minutes:g} minutes; make a data pack once (--pack) and "
            "train from it (--from)."
        )
    minutes = None if parsed.minutes is None else parsed.minutes - elapsed
    outcome = train(
        recipe, pack, parsed.output, device=device, minutes=minutes, workers=parsed.workers, report=report, **callbacks
    )
    last = outcome.curve[-1]["scores"] if outcome.curve else {}
    state = "finished" if outcome.finished else "not finished; run the same command again to go on"
    return {
        "folder": str(outcome.folder), "step": outcome.step, "finished": outcome.finished, "scores": last,
        "summary": f"{outcome.folder}: {outcome.step} of {recipe.optimisation.steps} steps, {state}",
    }  # fmt: skip


def _data(parsed: argparse.Namespace, recipe: Recipe, callbacks: dict) -> Pack:
    from ..training.data.pack import load_pack
    from ..training.data.pack_recipe import check_pack

    place = parsed.packed or parsed.pack
    if not place:
        return _scans(parsed, recipe, callbacks)
    if not parsed.packed and (parsed.overwrite or not Path(place).exists()):
        _make_pack(parsed, recipe, callbacks)
    pack = load_pack(place)
    warning = check_pack(pack, recipe, place)
    if warning:
        _warn(warning)
    return pack


def _scans(parsed: argparse.Namespace, recipe: Recipe, callbacks: dict) -> Pack:
    from ..core.errors import OptionError
    from ..core.progress import Monitor
    from ..training.data.build import build_pack

    folder = parsed.data or os.environ.get("MULTICONTRASTSR_DATA")
    if not folder:
        raise OptionError("No data are given; expected --data FOLDER, --from FILE or MULTICONTRASTSR_DATA set.")
    return build_pack(recipe, folder, Monitor(**callbacks, stage="data"), _warn)


def _warn(sentence: str) -> None:
    if _is_main():
        warn([sentence])
