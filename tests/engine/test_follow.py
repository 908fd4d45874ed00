"""Real runs of a tiny network that go on while slices are marked."""

import numpy as np
import pytest
import torch

from napari_unet.core.annotation import Annotation
from napari_unet.core.grid import Grid
from napari_unet.core.progress import Progress, run
from napari_unet.core.scores import dice
from napari_unet.core.settings import TrainSettings
from napari_unet.core.spec import ModelSpec
from napari_unet.core.volume import Volume
from napari_unet.engine.classroom import Classroom
from napari_unet.engine.follow import RESTS, following
from napari_unet.engine.learn import Called, Learner, Pace
from napari_unet.engine.ledger import Ledger, fingerprint
from napari_unet.engine.networks import build_network
from napari_unet.engine.patches import Batch
from napari_unet.engine.predict import predicting
from napari_unet.engine.train import training
from napari_unet.engine.trained import Trained
from napari_unet.errors import AnnotationError

TINY = TrainSettings(dims=2, batch=2)


def ball(seed=0, shape=(32, 24, 24)):
    """A bright ball in noise."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(shape)
    labels = ((z / 2 - 8) ** 2 + (y - 12) ** 2 + (x - 12) ** 2 < 49).astype(np.uint8)
    image = labels * 100 + rng.normal(0, 20, shape)
    return Volume(image[None].astype(np.float32), Grid(shape, (1.0,) * 3)), labels


def marked(case, slices):
    volume, labels = case
    return volume, Annotation.from_slices(labels, 0, slices)


class Driver:
    """Drives a run until something is seen, as the child process does."""

    def __init__(self, *given, **settings):
        self._job = following(*given, **settings)
        self._sent = None
        self.models, self.ledgers, self.reports = [], [], []

    def send(self, sent):
        self._sent = sent

    def until(self, seen):
        """Go on until `seen` says yes of what was yielded; return that."""
        while True:
            sent, self._sent = self._sent, None
            found = self._job.send(sent)
            kind = {Trained: self.models, Ledger: self.ledgers, Progress: self.reports}
            kind[type(found)].append(found)
            if seen(found):
                return found

    def stop(self):
        """Tell it to end, which it does at once; a better model measured just before is still given."""
        with pytest.raises(StopIteration) as end:
            assert isinstance(self._job.send(True), Trained)
            next(self._job)
        assert end.value.value is None


def a_model(found):
    return isinstance(found, Trained)


def resting(found):
    return isinstance(found, Progress) and found.stage == RESTS


def learning(found):
    return isinstance(found, Progress) and found.loss is not None


def boxes(ledger, volume):
    return {box[0][0] for box in ledger.held(fingerprint(volume))}


def test_learns_rests_and_goes_on_when_a_slice_is_marked():
    case = ball()
    driver = Driver([marked(case, [8, 12, 16])], TINY)
    driver.until(a_model)
    driver.until(resting)
    scores = [model.validation.mean_dice for model in driver.models]
    assert scores == sorted(set(scores))  # each better than the one before
    assert scores[-1] > 0.8
    assert {m.validation.slices for m in driver.models} == {1}
    assert dice(run(predicting(case[0], driver.models[-1].model)).labels, case[1], [1])[1] > 0.7
    (held,) = boxes(driver.ledgers[-1], case[0])

    at_rest = driver.reports[-1].done
    driver.until(resting)  # nobody sent anything: it has not moved
    assert driver.reports[-1].done == at_rest
    driver.send([marked(case, [8, 12, 16, 20, 24, 26, 28])])
    driver.until(lambda found: learning(found) and found.done > at_rest)
    now = boxes(driver.ledgers[-1], case[0])
    assert held in now
    assert len(now) == 2  # one of six, rounded up
    driver.stop()


def test_without_held_out_slices_a_base_is_not_replaced_unmeasured():
    first, second = ball(), ball(seed=1)
    base = run(training([marked(first, range(0, 32, 2))], TrainSettings(dims=2, steps=8))).model
    driver = Driver([marked(second, [10, 20])], TINY, base)
    driver.until(lambda found: learning(found) and found.seconds > 5)  # two exams at least
    assert not driver.models
    driver.send([marked(second, [10, 16, 20, 24])])
    found = driver.until(a_model)
    assert found.base.slices == found.validation.slices == 1
    assert found.validation.score > found.base.score
    assert found.verdict.reason == "too few"
    assert found.model.parent == base.sha256
    assert boxes(Ledger.of(found.model.history), second[0]) <= {16, 24}  # 10 and 20 have taught
    driver.stop()


def test_what_is_replayed_has_taught_and_is_never_measured_on():
    new, old = ball(), ball(seed=1)
    driver = Driver([marked(new, [12, 16])], TINY, replay=[marked(old, [8, 12, 16, 20])])
    driver.until(learning)
    driver.send([marked(new, [12, 16]), marked(old, [8, 12, 16, 20, 24])])
    driver.until(lambda found: isinstance(found, Ledger))
    assert boxes(driver.ledgers[-1], old[0]) <= {24}
    model = driver.until(a_model).model
    assert {b[0][0] for b in Ledger.of(model.history).taught(fingerprint(old[0]))} >= {
        8,
        12,
        16,
        20,
    }
    driver.stop()


def test_replayed_air_teaches_nothing():
    volume, labels = ball()
    volume.data[:, :2] = volume.data[:, -2:] = volume.data[..., :2, :] = volume.data[
        ..., -2:, :
    ] = 0
    volume.data[..., :2] = volume.data[..., -2:] = 0
    air = Volume(volume.data.copy(), volume.grid), labels
    driver = Driver([marked((volume, labels), [8, 12])], TINY, replay=[marked(air, [0])])
    driver.until(learning)
    driver.stop()


def test_without_a_base_what_cannot_be_measured_is_given_as_it_falls():
    driver = Driver([marked(ball(), [12, 16])], TINY)
    found = driver.until(a_model)
    assert found.validation.slices == 0
    driver.stop()


def test_rests_when_nothing_is_marked_any_more():
    case = ball()
    driver = Driver([marked(case, [8, 12, 16])], TINY)
    driver.until(learning)
    driver.send([])
    driver.until(resting)
    assert driver.reports[-1].message.startswith("nothing is marked")
    driver.send([marked(case, [20])])
    driver.until(learning)
    driver.stop()


def test_whoever_calls_is_heard_within_a_step_and_does_not_keep_it_from_learning_for_long():
    asked = []

    def called():
        asked.append(True)
        return True  # without a pause

    run_on = following([marked(ball(), [8, 12, 16])], TINY, called=called)
    per_report = []
    while len(per_report) < 8:
        before = len(asked)
        found = next(run_on)
        if isinstance(found, Progress) and found.stage == "train":
            per_report.append((found.done, len(asked) - before))
    run_on.close()
    # Left at the first layer, or taken to its end without a question.
    assert per_report == [(0, 1), (0, 1), (0, 1), (1, 0), (1, 1), (1, 1), (1, 1), (2, 0)]


def test_a_step_that_was_left_on_its_way_back_changes_nothing():
    spec = ModelSpec(dims=2, features=(4, 8), tile=(16, 16))
    images, targets = torch.randn(2, 1, 16, 16), torch.zeros(2, 16, 16, dtype=torch.long)
    layers = sum(1 for _ in build_network(spec).modules())
    for patience in (0, layers + 2):  # on its way down, and back
        network = build_network(spec)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        asked = []

        def called(asked=asked, patience=patience):
            asked.append(True)
            return len(asked) > patience

        learner = Learner(network, Pace(1e-2), "auto", called)
        for left in range(1, 4):
            with pytest.raises(Called):
                learner.step(Batch(images, targets))
            assert len(asked) == patience + left
            assert learner.steps == 0
            for name, value in network.state_dict().items():
                assert torch.equal(value, before[name])
        learner.step(Batch(images, targets))  # is taken to its end
        assert learner.steps == 1


def test_a_label_that_is_no_class_ends_the_run():
    case = ball()
    driver = Driver([marked(case, [8, 12, 16])], TINY)
    driver.until(learning)
    driver.send([marked((case[0], case[1] * 7), [8, 12, 16, 20])])
    with pytest.raises(AnnotationError, match="no class of the model"):
        driver.until(resting)


def test_the_room_prepares_only_what_has_changed():
    one, other = ball(), ball(seed=1)
    spec = run(training([marked(one, [8, 12])], TrainSettings(dims=2, steps=1))).model.spec
    room = Classroom(spec, TINY, Ledger(), torch.device("cpu"))
    first = [marked(one, [6, 10]), marked(other, [8, 14])]
    assert room.admit(first)  # four slices: one measures
    before = room.lessons
    assert room.admit(first) is False
    assert [a is b for a, b in zip(before, room.lessons, strict=True)] == [True, True]
    mended = one[1].copy()
    mended[10, :3] = 1
    room.admit([marked((one[0], mended), [6, 10]), first[1]])
    same = [a is b for a, b in zip(before, room.lessons, strict=True)]
    held_in_one = fingerprint(one[0]) in {p.image for p in room.ledger.pages if p.held}
    assert same == [held_in_one and 10 in boxes(room.ledger, one[0]), True]
    assert all(a.image is b.image for a, b in zip(before, room.lessons, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_no_held_out_slice_ever_teaches(seed):
    case = ball(seed)
    spec = run(training([marked(case, [8, 12])], TrainSettings(dims=2, steps=1))).model.spec
    room = Classroom(spec, TrainSettings(seed=seed), Ledger(), torch.device("cpu"))
    order = np.random.default_rng(seed).permutation(np.arange(0, 32, 2)).tolist()
    taught, held = set(), set()
    for count in range(1, len(order) + 1):
        room.admit([marked(case, order[:count])])
        now = boxes(room.ledger, case[0])
        known = (room.lessons[0].target >= 0).numpy() if room.lessons else np.zeros((32, 1, 1))
        taught |= set(np.flatnonzero(known.any(axis=(1, 2))).tolist())
        assert held <= now
        held = now
        assert not held & taught
        assert len(held) == (0 if count < 3 else -(-count // 6))
