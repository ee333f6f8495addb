"""Recipes of a batch, the scans that are found for them, and the images that are planned."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from batch_fixtures import write_subject

from MultiContrastSRLib.batch.plain import layout_of
from MultiContrastSRLib.batch.plan import plan_bids, plan_plain, select, share
from MultiContrastSRLib.batch.recipe import Recipe, from_mapping, load_recipe
from MultiContrastSRLib.core.errors import FileReadError, InputError, MethodUnavailableError, MultiContrastSRError

pytest.importorskip("ancpbids")
T2_BY_T1 = Recipe(("T2w",), ("T1w",))
T2_BY_T1_PLAIN = Recipe(("T2",), ("T1",))


def test_a_recipe_of_a_file(tmp_path):
    place = tmp_path / "study.toml"
    place.write_text(
        'targets = ["T2w", "FLAIR"]\nreferences = "T1w"\nspacing = "native-min"\nruns = "last"\n'
        "[options]\nstrength = 0.5\n"
    )
    recipe = from_mapping(load_recipe(place))
    assert recipe.targets == ("T2w", "FLAIR") and recipe.references == ("T1w",) and recipe.options == {"strength": 0.5}
    assert from_mapping(recipe.as_dict()) == recipe and json.loads(json.dumps(recipe.as_dict())) == recipe.as_dict()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "names no target"),
        ({"targets": "T2w", "scales": 2}, "unknown 'scales'"),
        ({"targets": "T2w", "scale": 2, "spacing": 1}, "both scale"),
        ({"targets": "T2w", "scale": [2, 2]}, "one factor above 0, or three"),
        ({"targets": "T2w", "spacing": "fine"}, "expected mm above 0, or 'native-min'"),
        ({"targets": "T2w", "runs": "two"}, "expected one of one, first, last, all"),
        ({"targets": ["T2w", "T2w"]}, "each contrast once"),
        ({"targets": "T2w", "grid": "reference"}, "names no reference"),
        ({"targets": "T2w", "method": "gided"}, "gided"),
        ({"targets": "T2w", "options": {"strengh": 1}}, "strengh"),
        ({"targets": "T2w", "consistency": "yes"}, "expected true or false"),
    ],
)
def test_impossible_recipes_say_what_was_expected(values, words):
    with pytest.raises(MultiContrastSRError, match=re.escape(words)):
        from_mapping(values)


def test_damaged_recipes_are_named(tmp_path):
    with pytest.raises(FileReadError, match="cannot be read"):
        load_recipe(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("targets = [")
    with pytest.raises(FileReadError, match="not valid TOML"):
        load_recipe(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("recipe", "label"),
    [
        (Recipe(), "2x"),
        (Recipe(scale=(1.0, 2.5, 2.5)), "1x2p5x2p5x"),
        (Recipe(spacing=0.8), "0p8mm"),
        (Recipe(spacing="native-min"), "nativemin"),
        (Recipe(grid="reference"), "reference"),
    ],
)
def test_labels_of_resolutions_are_letters_and_digits(recipe, label):
    assert recipe.resolution_label == label and label.isalnum()


# ------------------------------------------------------------------ BIDS


def test_every_subject_is_planned(dataset):
    subjects = plan_bids(dataset, T2_BY_T1)
    assert [subject.name for subject in subjects] == ["sub-01", "sub-02", "sub-03"]
    (image,) = subjects[0].images
    assert image.target.relative == "sub-01/anat/sub-01_T2w.nii.gz" and image.target.path.is_file()
    assert image.reference.relative == "sub-01/anat/sub-01_T1w.nii.gz"
    assert image.output == "sub-01/anat/sub-01_res-2x_desc-sr_T2w.nii.gz" and not subjects[0].problems


def test_labels_choose_subjects(dataset):
    assert [s.name for s in select(plan_bids(dataset, T2_BY_T1), ["sub-02", "03"])] == ["sub-02", "sub-03"]
    with pytest.raises(InputError, match=r"Participant '07' has none of the scans; found 01, 02, 03"):
        select(plan_bids(dataset, T2_BY_T1), ["07"])


def test_sessions_are_subjects_of_their_own(dataset):
    for session in ("a", "b"):
        anat = dataset / "sub-04" / f"ses-{session}" / "anat"
        anat.mkdir(parents=True)
        for suffix in ("T1w", "T2w"):
            source = dataset / f"sub-01/anat/sub-01_{suffix}.nii.gz"
            shutil.copy(source, anat / f"sub-04_ses-{session}_{suffix}.nii.gz")
    subjects = select(plan_bids(dataset, T2_BY_T1), ["04"])
    assert [s.name for s in subjects] == ["sub-04_ses-a", "sub-04_ses-b"]
    assert subjects[0].images[0].output.startswith("sub-04/ses-a/anat/sub-04_ses-a_res-")
    assert [s.session for s in select(plan_bids(dataset, T2_BY_T1), [], ["b"])] == ["ses-b"]
    (dataset / "sub-04" / "ses-a").rename(dataset / "sub-01" / "ses-a")
    for place in (dataset / "sub-01/ses-a/anat").iterdir():
        place.rename(place.with_name(place.name.replace("sub-04", "sub-01")))
    with pytest.raises(InputError, match=r"Participant 04 has none of the scans in session a; found ses-b\. Correct"):
        select(plan_bids(dataset, T2_BY_T1), ["04"], ["a"])


def test_references_are_taken_in_the_order_of_preference(dataset):
    anat = dataset / "sub-02" / "anat"
    shutil.copy(anat / "sub-02_T1w.nii.gz", anat / "sub-02_FLAIR.nii.gz")
    (dataset / "sub-03/anat/sub-03_T1w.nii.gz").unlink()
    first, second, third = plan_bids(dataset, Recipe(("T2w",), ("FLAIR", "T1w")))
    assert first.images[0].reference.contrast == "T1w" and second.images[0].reference.contrast == "FLAIR"
    ((target, sentence),) = third.problems
    assert target == "T2w" and "expected one of FLAIR, T1w. Add the scan" in sentence and not third.images


def test_targets_that_a_subject_does_not_have_are_named(dataset):
    recipe = Recipe(("T2w", "FLAIR"), ("T1w",))
    first = plan_bids(dataset, recipe)[0]
    assert len(first.images) == 1 and first.missing == ("FLAIR",) and not first.problems
    (dataset / "sub-01/anat/sub-01_T2w.nii.gz").unlink()
    first = plan_bids(dataset, recipe)[0]
    assert [target for target, _ in first.problems] == ["T2w", "FLAIR"] and "leave the subject out" in first.problems[
        0
    ][1]


def test_several_runs_are_refused_or_chosen(dataset):
    anat = dataset / "sub-01" / "anat"
    scan = anat / "sub-01_T2w.nii.gz"
    for run in ("1", "2", "10"):
        shutil.copy(scan, anat / f"sub-01_run-{run}_T2w.nii.gz")
    scan.unlink()

    def planned(runs):
        return plan_bids(dataset, Recipe(("T2w",), ("T1w",), runs=runs))[0]

    assert "Set runs to first, last or all" in planned("one").problems[0][1]
    for runs, expected in {"first": ["1"], "last": ["10"], "all": ["1", "2", "10"]}.items():
        assert [image.target.entities["run"] for image in planned(runs).images] == expected
    assert len({image.output for image in planned("all").images}) == 3


def test_scans_that_differ_in_more_than_runs_must_be_named(dataset):
    anat = dataset / "sub-01" / "anat"
    shutil.copy(anat / "sub-01_T2w.nii.gz", anat / "sub-01_acq-fast_T2w.nii.gz")
    subject = plan_bids(dataset, Recipe(("T2w",), ("T1w",)))[0]
    assert subject.images[0].target.relative == "sub-01/anat/sub-01_T2w.nii.gz"  # the one of just this name
    (anat / "sub-01_T2w.nii.gz").rename(anat / "sub-01_acq-slow_T2w.nii.gz")
    subject = plan_bids(dataset, Recipe(("T2w",), ("T1w",), runs="last"))[0]
    assert "'acq-fast_T2w'" in subject.problems[0][1]
    subject = plan_bids(dataset, Recipe(("acq-fast_T2w",), ("T1w",)))[0]
    assert subject.images[0].output == "sub-01/anat/sub-01_acq-fast_res-2x_desc-sr_T2w.nii.gz"


def test_entities_of_a_contrast_have_no_order(dataset):
    anat = dataset / "sub-01" / "anat"
    for entities in ("acq-fast_ce-gad", "acq-fast_ce-gad_rec-z"):
        shutil.copy(anat / "sub-01_T2w.nii.gz", anat / f"sub-01_{entities}_T2w.nii.gz")
    for contrast in ("acq-fast_ce-gad_T2w", "ce-gad_acq-fast_T2w"):
        (image,) = plan_bids(dataset, Recipe((contrast,), ("T1w",)))[0].images
        assert image.target.relative == "sub-01/anat/sub-01_acq-fast_ce-gad_T2w.nii.gz"


def test_derivatives_in_the_dataset_are_no_input(dataset):
    write_subject(dataset / "derivatives" / "other", "01")
    assert len(plan_bids(dataset, T2_BY_T1)[0].images) == 1


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(FileReadError, match=r"holds no dataset_description.json.*--scans"):
        plan_bids(tmp_path, T2_BY_T1)
    with pytest.raises(FileReadError, match="does not exist"):
        plan_bids(tmp_path / "absent", T2_BY_T1)


def test_a_missing_reader_of_datasets_is_named_with_the_line_to_type(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "ancpbids", None)
    with pytest.raises(MethodUnavailableError, match=r"pip install 'multicontrastsr\[batch\]', or give --scans"):
        plan_bids(dataset, T2_BY_T1)


# ------------------------------------------------------------------ other layouts


def test_a_plain_layout(tmp_path):
    for name in ("a/T2.nii", "a/T1.nii", "b/T2.nii", "c/T1.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    recipe = Recipe(("T2",), ("T1",), spacing=1.0)
    first, second = plan_plain(tmp_path, "{subject}/{contrast}.nii", recipe)
    assert (
        first.images[0].output == "a/T2_res-1mm_sr.nii.gz" and first.images[0].reference.path == tmp_path / "a/T1.nii"
    )
    assert second.name == "b" and "No reference for T2" in second.problems[0][1]
    with pytest.raises(InputError, match=r"{subject} and {contrast}"):
        plan_plain(tmp_path, "{contrast}.nii", recipe)
    with pytest.raises(FileReadError, match="No subject below"):
        plan_plain(tmp_path, "{subject}/{contrast}.nii.gz", recipe)
    with pytest.raises(InputError, match="Participant 'z' has none of the scans; found a, b"):
        select([first, second], ["z"])


def test_several_files_of_a_contrast_are_a_problem_of_that_subject(tmp_path):
    for name in ("a/T2_1.nii", "a/T2_2.nii", "b/T2_1.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    first, second = plan_plain(tmp_path, "{subject}/{contrast}_*.nii", Recipe(("T2",), method="sinc"))
    assert "2 files match" in first.problems[0][1] and len(second.images) == 1


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_characters_of_patterns_in_a_name_stand_for_themselves(tmp_path):
    touch(tmp_path, "P1/T2.nii", "P1/T1.nii", "P[1]/T2.nii", "P*/T2.nii", "P*/T1.nii", "P?/T1.nii", "P?/T2.nii")
    subjects = plan_plain(tmp_path, "{subject}/{contrast}.nii", T2_BY_T1_PLAIN)
    assert [subject.name for subject in subjects] == ["P*", "P1", "P?", "P[1]"]
    for subject in subjects[:3]:
        (image,) = subject.images
        assert {scan.path.parent.name for scan in (image.target, image.reference)} == {subject.name}
    assert not subjects[3].images and "No reference for T2" in subjects[3].problems[0][1]
    touch(tmp_path, "one/T2[fs].nii", "one/T2f.nii")
    (image,) = plan_plain(tmp_path, "{subject}/{contrast}.nii", Recipe(("T2[fs]",), method="sinc"))[0].images
    assert image.target.path == tmp_path / "one/T2[fs].nii"


def test_scans_of_two_people_of_one_name_are_not_joined(tmp_path):
    touch(tmp_path, "A/01/T2.nii", "B/01/T1.nii", "A/02/T2.nii", "A/02/T1.nii")
    for template in ("*/{subject}/{contrast}.nii", "**/{subject}/{contrast}.nii"):
        first, second = plan_plain(tmp_path, template, T2_BY_T1_PLAIN)
        ((target, sentence),) = first.problems
        assert target == "T2" and not first.images and len(second.images) == 1
        assert f"subject '01' lie in different places, {tmp_path / 'A/01/T2.nii'} and {tmp_path / 'B/01/T1.nii'}" in (
            sentence
        )
    touch(tmp_path / "apart", "x1/T2.nii", "x2/T1.nii")
    layout = layout_of(tmp_path / "apart", "{subject}?/{contrast}.nii")
    with pytest.raises(InputError, match=r"for the wildcards of {subject}\? in all of them"):
        layout.check_one_place("x", {contrast: layout.scan("x", contrast) for contrast in ("T2", "T1")})


def test_wildcards_after_the_subject_may_stand_for_different_things(tmp_path):
    touch(tmp_path, "A/01/x/01_a_T2_n.nii", "A/01/y/01_b_T1_m.nii")
    for template in ("*/{subject}/*/*_{contrast}_?.nii", "?/{subject}/**/*_{contrast}_*.nii"):
        (subject,) = plan_plain(tmp_path, template, T2_BY_T1_PLAIN)
        assert len(subject.images) == 1 and not subject.problems
    touch(tmp_path / "flat", "01_a_T2_n.nii", "01_b_T1_m.nii")
    (subject,) = plan_plain(tmp_path / "flat", "{subject}_?_{contrast}_*.nii", T2_BY_T1_PLAIN)
    assert len(subject.images) == 1 and not subject.problems


def test_results_in_the_output_folder_are_no_input(tmp_path):
    touch(tmp_path, "a/T2.nii", "a/T1.nii", "sr/a/T2_res-2x_sr.nii", "sr/b/T2.nii")
    template = "**/{subject}/{contrast}*.nii"
    (subject,) = plan_plain(tmp_path, template, T2_BY_T1_PLAIN, tmp_path / "sr")
    assert subject.name == "a" and len(subject.images) == 1
    # an output folder that holds the input hides nothing
    assert plan_plain(tmp_path / "a", "{subject}{contrast}.nii", Recipe(("2",), method="sinc"), tmp_path)
    with pytest.raises(FileReadError, match=r"expected at least one outside the output folder .*sr\. Check"):
        plan_plain(tmp_path, template, Recipe(("PD",), method="sinc"), tmp_path / "sr")


def test_shares_of_an_array_are_all_subjects_once(tmp_path):
    for number in range(7):
        (tmp_path / f"s{number}").mkdir()
        Path(tmp_path / f"s{number}" / "T2.nii").touch()
    subjects = plan_plain(tmp_path, "{subject}/{contrast}.nii", Recipe(("T2",), method="sinc"))
    shares = [share(subjects, part, 3) for part in (1, 2, 3)]
    assert sorted(s.name for part in shares for s in part) == [s.name for s in subjects]
