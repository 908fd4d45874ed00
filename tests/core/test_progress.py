from dataclasses import replace

import pytest

from napari_unet.core.progress import Job, Progress, passing_on, run


def counting(total: int, closed: list[bool] | None = None) -> Job[int]:
    """Count to `total`, one report a step; told to stop, return what was reached."""
    try:
        for done in range(1, total + 1):
            if (yield Progress("count", done, total)):
                return done
        return total
    finally:
        if closed is not None:
            closed.append(True)


def test_a_job_runs_to_its_end_and_returns_its_result():
    seen = []
    assert run(counting(3), seen.append) == 3
    assert [(p.done, p.total) for p in seen] == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_job_told_to_stop_returns_what_it_has(stop_after):
    seen = []
    assert run(counting(5), seen.append, lambda: len(seen) >= stop_after) == stop_after


def test_a_job_without_reports():
    assert run(counting(0)) == 0


def test_a_listener_that_fails_ends_the_job():
    closed: list[bool] = []

    def listener(report):
        raise KeyError(report.done)

    with pytest.raises(KeyError):
        run(counting(3, closed), listener)
    assert closed == [True]


def test_a_job_inside_another_passes_reports_and_stops_on():
    seen, closed = [], []
    job = passing_on(counting(5, closed), lambda r: replace(r, stage="inner"))
    assert run(job, seen.append, lambda: len(seen) == 2) == 2
    assert [(p.stage, p.done) for p in seen] == [("inner", 1), ("inner", 2)]
    assert closed


def test_a_job_inside_another_is_closed_with_it():
    closed: list[bool] = []
    job = passing_on(counting(5, closed), lambda r: r)
    next(job)
    job.close()
    assert closed
