"""The calls of the module's logic for batches, for the Python console, scripts and the panel."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer import vtkMRMLScalarVolumeNode

from ..library import library
from .command import batch_arguments
from .process import BatchProcess


class BatchLogic:
    """Mixin for a logic: super-resolves a study in a process of its own, and loads its results."""

    batch: BatchProcess | None = None  # the latest one, also after its end

    def startBatch(
        self,
        inputFolder,
        outputFolder,
        targets,
        references=(),
        *,
        scans="",
        processes=1,
        onChange=None,
        onEnd=None,
        **settings,
    ) -> BatchProcess:
        """Super-resolve the scans of all subjects of a study in the background; returns at once.

        An interrupted batch goes on when it is started again: results that are there, made of the same scans by the
        same settings and version, are kept. Closing the scene stops it.

        :param inputFolder: a BIDS dataset, or another folder with `scans`.
        :param outputFolder: a new folder, or that of an earlier batch.
        :param targets: contrasts to super-resolve, such as ["T2w", "FLAIR"].
        :param references: contrasts that may be the reference, the preferred one first.
        :param scans: paths below inputFolder in another layout than BIDS: "{subject}/{contrast}.nii.gz".
        :param processes: number of subjects that are worked on at the same time.
        :param onChange: called with a list of the subjects that changed.
        :param onEnd: called with the error, or None, also after `stop()`; subjects may have failed.
        :param settings: as for `process`: method, scale or spacing, register, data_consistency, device, options.
        :returns: handle with `stop()`, `state`, and `status.subjects` with their states, messages and outputs.
        :raises MultiContrastSRError: it cannot start.
        """
        if self.batch is not None and self.batch.active:
            raise library("core.errors").InputError("A batch is under way; expected none. Stop it, or wait for it.")
        arguments = batch_arguments(inputFolder, outputFolder, targets, references, scans, processes, settings)
        self.batch = BatchProcess(Path(outputFolder).absolute(), onChange, onEnd)
        self.batch.start(arguments)
        return self.batch

    def stopBatch(self) -> None:
        """Stop the batch under way; what is finished stays, and `startBatch` goes on."""
        if self.batch is not None:
            self.batch.stop()

    def abandonBatch(self) -> None:
        """Stop the batch under way, forget it, and wait for the end of its process; no callback is called."""
        if self.batch is not None:
            self.batch.abandon()
            self.batch = None

    def loadBatchResult(self, path, subject="") -> vtkMRMLScalarVolumeNode:
        """Load a result of a batch and show it; its attributes say how it was made.

        :param path: the volume in the folder of the results.
        :param subject: comes before the name of a file that does not name it.
        :raises MultiContrastSRError: it cannot be loaded.
        """
        path = Path(path)
        stem = path.name.removesuffix(".nii.gz")
        name = stem if stem.startswith(subject) else f"{subject} {stem}"
        derivative = library("batch.derivative")
        sidecar = derivative.read_sidecar(path)
        if sidecar is None or not path.is_file():
            raise library("core.errors").FileReadError(
                f"Result {path} is not complete; expected a volume and its side-car. Press Start to make it again."
            )
        node = slicer.util.loadVolume(str(path), {"name": name})
        for attribute, value in library("mrml").provenance(sidecar[derivative.KEY]["Report"]).items():
            node.SetAttribute(attribute, value)
        return node
