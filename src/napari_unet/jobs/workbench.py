"""What each request does, in the child process: with `course.py` all of `jobs` that calls the engine."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_unet import __version__
from napari_unet.core.progress import Job, Progress
from napari_unet.jobs.course import Course, saved
from napari_unet.jobs.lessons import FollowRequest, GlanceRequest
from napari_unet.jobs.requests import (
    ExportRequest,
    ExportResult,
    GlanceResult,
    JobRequest,
    PredictRequest,
    PredictResult,
    ProbeRequest,
    ProbeResult,
    SharedWatch,
    SurveyRequest,
    SurveyResult,
    TrainRequest,
    TrainResult,
)
from napari_unet.jobs.shared import SharedArray

if TYPE_CHECKING:
    from napari_unet.engine.doubt import Watch
    from napari_unet.engine.model import Model

_PACKAGES = ("torch", "monai", "numpy", "openvino")


class Workbench:
    """Does jobs, and keeps the model of the last one at hand."""

    def __init__(self) -> None:
        self._held: tuple[tuple[Path, int, int], Model] | None = None

    def course(self, request: FollowRequest, called: Callable[[], bool]) -> Course:
        """Return the training that goes on, as far as it was begun: not at all."""
        base = request.start.base
        return Course(request.start, None if base is None else self._model(base), called)

    def job(
        self, request: JobRequest | GlanceRequest
    ) -> Job[
        PredictResult | GlanceResult | SurveyResult | TrainResult | ExportResult | ProbeResult
    ]:
        """Return the generator that does what is asked."""
        match request:
            case PredictRequest():
                return self._predict(request)
            case SurveyRequest():
                return self._survey(request)
            case GlanceRequest():
                return self._glance(request)
            case TrainRequest():
                return self._train(request)
            case ExportRequest():
                return self._export(request)
            case ProbeRequest():
                return self._probe()

    def _predict(self, request: PredictRequest) -> Job[PredictResult]:
        from napari_unet.engine.predict import predicting

        out = request.out.open(writable=True)
        prediction = yield from predicting(
            request.volume.open(),
            self._model(request.model),
            request.settings,
            near=request.near,
            out=out,
            keep_probabilities=request.probabilities,
            watch=None if request.watch is None else _watch(request.watch),
        )
        if prediction.labels is not out:
            out[...] = prediction.labels
        shared = None
        if prediction.probabilities is not None:
            kept = prediction.probabilities
            shared = SharedArray.create(kept.shape, kept.dtype, beside=request.out)
            shared.open(writable=True)[...] = kept
        return PredictResult(
            model=prediction.model,
            seconds=prediction.seconds,
            device=prediction.device,
            backend=prediction.backend,
            complete=prediction.complete,
            classes=prediction.classes,
            instances=prediction.instances,
            probabilities=shared,
            survey=prediction.survey,
        )

    def _survey(self, request: SurveyRequest) -> Job[SurveyResult]:
        from napari_unet.engine.suggest import surveying

        began = time.perf_counter()
        survey, complete = yield from surveying(
            request.volume.open(),
            self._model(request.model),
            _watch(request.watch),
            request.settings,
            request.done,
            request.near,
        )
        return SurveyResult(survey=survey, complete=complete, seconds=time.perf_counter() - began)

    def _glance(self, request: GlanceRequest) -> Job[GlanceResult]:
        from napari_unet.engine.blocks import Layout
        from napari_unet.engine.predict import predicting

        volume, model = request.volume.open(), self._model(request.model)
        cells = Layout(volume, model.spec, request.settings.overlap).around(request.part)
        if cells is not None:  # else it is all outside of what the model looks at: background
            prediction = yield from predicting(volume, model, request.settings, within=cells)
            low = [max(a, b) for a, b in zip(request.part[0], cells[0], strict=True)]
            high = [min(a, b) for a, b in zip(request.part[1], cells[1], strict=True)]
            there, found = (
                tuple(slice(a - o, b - o) for a, b, o in zip(low, high, origin, strict=True))
                for origin in (request.part[0], cells[0])
            )
            request.out.open(writable=True)[there] = np.asarray(prediction.labels)[found]
        return GlanceResult(glanced_with=model.sha256, part=request.part)

    def _train(self, request: TrainRequest) -> Job[TrainResult]:
        from napari_unet.atomic import require_writable
        from napari_unet.engine.holdout import held_slices
        from napari_unet.engine.ledger import Ledger
        from napari_unet.engine.train import training

        require_writable(request.out.parent)
        cases = [case.open() for case in request.cases]
        trained = yield from training(
            cases,
            request.settings,
            base=None if request.base is None else self._model(request.base),
            classes=request.classes,
            replay=[case.open() for case in request.replay],
            name=request.out.stem,
            merged=request.merged,
        )
        yield Progress("save", message=f"Saving {request.out.name}")
        ledger = Ledger.of(trained.model.history)
        return saved(trained, request.out, tuple(held_slices(case, ledger) for case in cases))

    def _export(self, request: ExportRequest) -> Job[ExportResult]:
        yield Progress("export", message=f"Writing {request.out.name}")
        from napari_unet.engine.export import export

        export(self._model(request.model), request.out, request.to)
        return ExportResult(exported=request.out)

    def _probe(self) -> Job[ProbeResult]:
        yield Progress("probe")
        from napari_unet.engine.device import available, device_name

        versions = {"napari-unet": __version__, "python": platform.python_version()}
        for name in _PACKAGES:
            try:
                versions[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                versions[name] = "not installed"
        return ProbeResult(versions=versions, devices=list(map(device_name, available())))

    def _model(self, reference: Path) -> Model:
        """Load a model file, or take the one at hand when the file is still the same."""
        from napari_unet.engine.model import load_model
        from napari_unet.engine.starters import resolve

        path = resolve(reference).resolve()
        status = path.stat()
        key = (path, status.st_mtime_ns, status.st_size)
        if self._held is None or self._held[0] != key:
            self._held = None  # the old one goes before the new one comes
            self._held = (key, load_model(path))
        return self._held[1]


def _watch(shared: SharedWatch) -> Watch:
    """Map the arrays of a watch into this process."""
    from napari_unet.engine.doubt import Watch

    before, uncertainty = shared.before, shared.uncertainty
    return Watch(
        shared.axis,
        before=None if before is None else before.open(),
        uncertainty=None if uncertainty is None else uncertainty.open(writable=True),
    )
