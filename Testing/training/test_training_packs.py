"""Training: data packs and the scans they are made of."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="Training needs torch, which is not installed here.")

from phantoms import pair  # noqa: E402
from training_fixtures import phantom_pack, phantom_stack, recipe, tables  # noqa: E402

import MultiContrastSRLib as mc  # noqa: E402
from MultiContrastSRLib.cli import main  # noqa: E402
from MultiContrastSRLib.core.errors import FileReadError, InputError  # noqa: E402
from MultiContrastSRLib.training import loop, recipe_file  # noqa: E402
from MultiContrastSRLib.training.data.build import build_pack  # noqa: E402
from MultiContrastSRLib.training.data.labels import load_label_maps  # noqa: E402
from MultiContrastSRLib.training.data.pack import Pack, load_pack, save_pack  # noqa: E402
from MultiContrastSRLib.training.data.pack_recipe import check_pack, data_settings  # noqa: E402
from MultiContrastSRLib.training.data.subjects import find_all  # noqa: E402
from MultiContrastSRLib.training.export import export  # noqa: E402
from MultiContrastSRLib.training.recipe import Labels, Source  # noqa: E402
from MultiContrastSRLib.training.recipe_file import from_mapping  # noqa: E402
from MultiContrastSRLib.weights.card import load_card  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

# ---------------------------------------------------------------------- packs and scans


def test_a_pack_survives_its_file(tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    pack = Pack(phantom_pack().stacks, (labels,), (0, 2, 41, 502), ("phantoms",))
    found = load_pack(save_pack(pack, tmp_path / "pack.npz"))
    assert found.label_values == pack.label_values and found.sources == pack.sources
    assert np.array_equal(found.labels[0], labels)
    for one, other in zip(found.stacks, pack.stacks, strict=True):
        assert (one.name, one.part, one.contrasts, one.targets, one.axes) == (
            other.name, other.part, other.contrasts, other.targets, other.axes)  # fmt: skip
        assert np.array_equal(one.images, other.images) and one.images.dtype == np.float16


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x04K\x01."])
def test_a_damaged_pack_is_refused(tmp_path, content):
    (tmp_path / "pack.npz").write_bytes(content)
    with pytest.raises(FileReadError, match=r"cannot be read: it is no \.npz file, or is truncated\. Make it.*--pack"):
        load_pack(tmp_path / "pack.npz")
    np.savez(tmp_path / "other.npz", about=np.array({"format": 1}, dtype=object))  # would need pickle
    with pytest.raises(FileReadError, match="cannot be read"):
        load_pack(tmp_path / "other.npz")


def with_sources(*sources: dict, **parts: dict):
    contrasts = {"T2": "{subject}/t2.nii.gz", "T1": "{subject}/t1.nii.gz"}
    return from_mapping({**tables(**parts), "source": [{"contrasts": contrasts, **source} for source in sources]})


def test_a_folder_of_pairs_becomes_stacks(scans):
    pack = build_pack(with_sources({"subjects": ["anna"]}, {"part": "validation", "subjects": ["bert"]}), scans)
    (anna,), bert = pack.part("train"), pack.part("validation")
    assert anna.contrasts == ("T2", "T1") and anna.targets == (0, 1) and anna.images.shape[1] == 5
    assert [(s.contrasts, s.targets) for s in bert] == [(("T2", "T1"), (0,)), (("T1", "T2"), (0,))]
    for stack in bert:  # resampled to the right place
        one, other = stack.images.astype(np.float32)
        at = np.corrcoef(np.abs(np.gradient(one, axis=2)).ravel(), np.abs(np.gradient(other, axis=2)).ravel())[0, 1]
        rolled = np.roll(other, 2, axis=2)
        beside = np.corrcoef(np.abs(np.gradient(one, axis=2)).ravel(), np.abs(np.gradient(rolled, axis=2)).ravel())
        assert at > beside[0, 1] + 0.1
    assert pack.sources[0] == "train: anna (T2, T1)"


def test_a_pack_knows_the_data_of_its_recipe(scans, tmp_path):
    made_by = with_sources({"validation_share": 0.5})
    place = save_pack(build_pack(made_by, scans), tmp_path / "pack.npz")
    pack = load_pack(place)
    assert pack.settings == json.loads(json.dumps(data_settings(made_by)))
    same_data = with_sources({"validation_share": 0.5}, optimisation={"steps": 9}, labels={"files": "not used"})
    assert check_pack(pack, made_by, place) == check_pack(pack, same_data, place) == ""
    assert "does not state the recipe that it was made by" in check_pack(replace(pack, settings={}), made_by, place)


@pytest.mark.parametrize(
    ("sources", "parts", "words"),
    [
        ([{"exclude": ["bert"]}], {}, r"exclude of source 1 was \[\], the recipe's is \['bert'\]"),
        (
            [{"spacing": 1.0, "slice_step": 2}],
            {},
            "slice_step of source 1 was 1, the recipe's is 2; spacing of source 1",
        ),
        ([{}, {"part": "validation"}], {}, "1 sources, and the recipe has 2"),
        (
            [{}],
            {"labels": {"files": "*.nii"}, "augmentation": {"synthetic": 0.1}},
            "no label maps, and the recipe's augmentation.synthetic needs them; files of labels was '', the recipe's",
        ),
    ],
)
def test_a_pack_of_other_data_is_refused(sources, parts, words):
    pack = replace(phantom_pack(), settings=data_settings(with_sources({})))
    with pytest.raises(InputError, match=rf"pack.npz was made .* other data \({words}.*Make it again by another name"):
        check_pack(pack, with_sources(*sources, **parts), "pack.npz")


@pytest.mark.parametrize("flag", ["--pack", "--from"])
def test_the_verb_checks_a_pack_that_exists(flag, scans, monkeypatch, capsys):
    monkeypatch.chdir(scans)
    made_by = with_sources({"validation_share": 0.5})
    monkeypatch.setattr(recipe_file, "load_recipe", lambda name, changes: made_by)
    save_pack(build_pack(with_sources({"validation_share": 0.5, "slice_step": 2}), "."), "pack.npz")
    command = ["train", "mine.toml", "--data", ".", flag, "pack.npz", "--output", "run", "--device", "cpu"]
    assert main([*command, "--minutes", "0"]) == InputError.exit_code
    assert "slice_step of source 1 was 2, the recipe's is 1" in capsys.readouterr().err
    assert not (scans / "run").exists()
    save_pack(replace(load_pack("pack.npz"), settings={}), "pack.npz")
    assert main([*command, "--minutes", "0"]) == 0
    assert "warning: Data pack pack.npz does not state the recipe" in capsys.readouterr().err


def test_a_share_of_the_subjects_validates(scans):
    pack = build_pack(with_sources({"validation_share": 0.5, "targets": ["T2"]}), scans)
    assert {s.name.split()[0] for s in pack.part("train")} != {s.name.split()[0] for s in pack.part("validation")}
    assert all(s.targets == (0,) and s.contrasts[0] == "T2" for s in pack.stacks)


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([{}, {"part": "validation"}], "in the training and in the validation data"),
        ([{"subjects": ["carl"]}], "No two contrasts of subject 'carl' were found"),
        ([{"contrasts": {"T2": "anna/t2.nii.gz", "T1": "anna/t1.nii.gz"}}], "expected one with {subject}"),
        ([{"contrasts": {"T2": "{subject}/t*.nii.gz", "T1": "{subject}/t1.nii.gz"}}], "has several files"),
    ],
)
def test_sources_that_cannot_be(scans, sources, words):
    with pytest.raises(InputError, match=words):
        build_pack(with_sources(*sources), scans)


@pytest.mark.parametrize("path", ["{subject}/ses-%d/%s.nii.gz", "study/{subject}_ses-%d_%s.nii.gz"])
def test_a_subject_with_a_session_in_each_part_is_refused(tmp_path, path):
    sources = [
        Source(part, {contrast: path % (session, contrast) for contrast in ("T2", "T1")})
        for session, part in enumerate(("train", "validation"))
    ]
    for source in sources:
        for pattern in source.contrasts.values():
            place = tmp_path / pattern.format(subject="anna")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    with pytest.raises(InputError, match="Subject 'anna' is in the training and in the validation data"):
        find_all(tuple(sources), tmp_path)


def test_subjects_of_one_name_in_two_studies_are_two(tmp_path):
    sources = [
        Source(part, {contrast: f"{part}/{{subject}}/{contrast}.nii.gz" for contrast in ("T2", "T1")})
        for part in ("train", "validation")
    ]
    for source in sources:
        (tmp_path / source.part / "anna").mkdir(parents=True)
        for pattern in source.contrasts.values():
            (tmp_path / pattern.format(subject="anna")).touch()
    assert [entry.source.part for entry in find_all(tuple(sources), tmp_path)] == ["train", "validation"]


# ---------------------------------------------------------------------- what is left out


def changed(place, change):
    """The scan at `place` with its voxels changed."""
    volume = mc.load_volume(place)
    mc.save_volume(mc.Volume.on(volume.grid, change(volume.array.copy())), place, overwrite=True)


@pytest.mark.parametrize("register", ["off", "auto"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_not_finite_are_refused(scans, register, value, capfd):
    def poisoned(array):
        array[2, 30, 30] = value
        return array

    changed(scans / "bert/t1.nii.gz", poisoned)
    with pytest.raises(InputError, match=r"Contrast T1 of bert, t1 holds 1 NaN or infinite voxels of .*replace-nan"):
        build_pack(with_sources({"register": register}), scans)
    assert "vnl" not in "".join(capfd.readouterr()).lower()


def test_label_maps_that_are_not_finite_are_refused(tmp_path):
    mc.save_volume(mc.Volume.on(pair((5, 40, 40))[0].grid, np.full((5, 40, 40), np.nan)), tmp_path / "l.nii")
    with pytest.raises(InputError, match="Label map l holds 8000 NaN or infinite voxels of 8000"):
        load_label_maps(Labels("*.nii"), tmp_path)


def test_sources_name_what_is_used_and_the_rest_is_reported(scans):
    for contrast in ("t2", "t1"):
        shutil.copytree(scans / "anna", scans / f"no-{contrast}")
        changed(scans / f"no-{contrast}" / f"{contrast}.nii.gz", np.zeros_like)
    shutil.copytree(scans / "anna", scans / "later")
    (scans / "later/t2.nii.gz").rename(scans / "later/flair.nii.gz")
    contrasts = {name: f"{{subject}}/{name.lower()}.nii.gz" for name in ("T2", "T1", "FLAIR")}
    said = []
    pack = build_pack(with_sources({"targets": ["T2"], "contrasts": contrasts}), scans, report=said.append)
    assert pack.sources == ("train: anna (T2, T1)", "train: bert (T2, T1)")
    assert [stack.name for stack in pack.stacks] == ["anna", "bert T2"]
    assert said == [
        "Subject later (train) was left out: it has T1, FLAIR, and none of the source's targets (T2).",
        "Scans of no-t1 (train) were left out: no slice shows tissue in each of T2, T1.",
        "Scans of no-t2 (train) were left out: no slice shows tissue in each of T2, T1.",
    ]


def test_a_reference_that_does_not_fit_is_reported(scans):
    changed(scans / "bert/t1.nii.gz", np.ones_like)
    said = []
    pack = build_pack(with_sources({"targets": ["T2"]}), scans, report=said.append)
    assert pack.sources == ("train: anna (T2, T1)",)
    assert len(said) == 1 and said[0].startswith(
        "Contrast T1 of bert was left out with target T2: Reference t1 is constant (1); it was not used."
    )


def test_scans_without_tissue_are_nothing_to_train_on(scans):
    for subject in ("anna", "bert"):
        changed(scans / subject / "t2.nii.gz", np.zeros_like)
    with pytest.raises(InputError, match=r"no scans for 'train' with a slice that shows tissue.*expected at least"):
        build_pack(with_sources({}), scans)


@pytest.mark.parametrize("change", [{"images": np.zeros((2, 3, 80, 72), np.float16)}, {"targets": ()}])
def test_a_part_without_examples_is_refused(change, tmp_path):
    train, validation = phantom_pack().stacks
    with pytest.raises(InputError, match="holds no scans for 'train' with a slice"):
        loop.train(recipe(), Pack((replace(train, **change), validation)), tmp_path)
    without = Pack((train, replace(validation, **change)))
    with pytest.raises(
        InputError, match=r"no scans for 'validation' with a slice.*set optimisation.validate_every to 0"
    ):
        loop.train(recipe(), without, tmp_path)
    assert not any(tmp_path.iterdir())
    assert loop.train(recipe(optimisation={"steps": 1, "validate_every": 0}), without, tmp_path).finished
    files = export(tmp_path, tmp_path / "tiny.safetensors", without)
    assert load_card(files[1])["scores"]["validation"] == {}
    assert "None: the training had no validation scans." in files[2].read_text(encoding="utf-8")


def test_the_held_out_patient_is_refused(tmp_path):
    for name in ("t1", "t2"):
        place = tmp_path / "open_ms_data/longitudinal/raw/patient12" / f"{name}.nii.gz"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    prefix = "open_ms_data/longitudinal/raw/{subject}/"
    source = Source(contrasts={"T1": prefix + "t1.nii.gz", "T2": prefix + "t2.nii.gz"})
    with pytest.raises(InputError, match="'patient12' is held out"):
        build_pack(with_sources({"contrasts": dict(source.contrasts)}), tmp_path)
    with pytest.raises(FileReadError, match="does not exist"):
        build_pack(recipe(), tmp_path / "gone")


def test_stacks_know_which_slices_show_something():
    stack = phantom_stack("train", 1)
    images = stack.images.copy()
    images[0, 2] = 0  # one contrast shows nothing there
    empty = type(stack)(stack.name, "train", stack.contrasts, stack.targets, (0,), images)
    assert [i for _, i in empty.slices()] == [0, 1, 3, 4, 5]
