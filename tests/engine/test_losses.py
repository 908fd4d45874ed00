import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from monai.losses import DiceCELoss, DiceLoss, FocalLoss, TverskyLoss

from napari_unet.engine.cases import UNKNOWN
from napari_unet.engine.losses import loss_of

KINDS = ["auto", "dice_ce", "focal", "tversky", "border"]


def example():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 6, 6, 6, requires_grad=True)
    target = torch.randint(0, 3, (2, 6, 6, 6))
    return logits, target


def ridge():
    """How near two objects might be to each voxel of the example."""
    return torch.rand(2, 6, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_voxels_have_no_gradient_at_all(kind):
    logits, target = example()
    target[:, 2:] = UNKNOWN
    loss_of(logits, target, kind, ridge()).backward()
    assert (logits.grad[:, :, 2:] == 0).all()
    assert (logits.grad[:, :, :2] != 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_voxels_do_not_change_the_loss(kind):
    logits, target = example()
    target[:, 2:] = UNKNOWN
    other = logits.detach().clone()
    other[:, :, 2:] = 100
    changed = torch.where(target == UNKNOWN, 1, ridge())
    both = loss_of(logits, target, kind, ridge()), loss_of(other, target, kind, changed)
    assert torch.equal(*both)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_known_is_zero_not_nan(kind):
    logits, target = example()
    loss = loss_of(logits, torch.full_like(target, UNKNOWN), kind, ridge())
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_equals_monai_where_all_is_known():
    logits, target = example()
    monai = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)(
        logits, target[:, None]
    )
    assert torch.isclose(loss_of(logits, target, "auto"), monai, atol=1e-5)


def test_tversky_equals_monai_where_all_is_known():
    logits, target = example()
    monai = TverskyLoss(
        include_background=False, to_onehot_y=True, softmax=True, batch=True, alpha=0.3, beta=0.7
    )(logits, target[:, None])
    assert torch.isclose(loss_of(logits, target, "tversky"), monai, atol=1e-5)


def test_focal_equals_monai_where_all_is_known():
    logits, target = example()
    focal = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=2.0, reduction="none")
    overlap = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    monai = focal(logits, target[:, None]).sum(dim=1).mean() + overlap(logits, target[:, None])
    assert torch.isclose(loss_of(logits, target, "focal"), monai, atol=1e-5)


def test_further_heads_count_half_each():
    logits, target = example()
    other = logits.detach() * 0
    both = loss_of([logits, other], target, "auto")
    expected = (loss_of(logits, target, "auto") + 0.5 * loss_of(other, target, "auto")) / 1.5
    assert torch.isclose(both, expected)


def test_the_border_loss_is_cross_entropy_weighted_as_in_2015():
    """Ronneberger et al. 2015, equations 1 and 2: w = w_class + 10 exp(...), as a weighted mean."""
    logits, target = example()
    target[:, :3] = 0  # classes of unlike number
    near = ridge()
    counts = torch.bincount(target.flatten(), minlength=3)
    weights = (target.numel() / (3 * counts))[target] + 10 * near
    surprise = F.cross_entropy(logits, target, reduction="none")
    expected = (weights * surprise).sum() / weights.sum()
    assert torch.isclose(loss_of(logits, target, "border", near), expected)
    # Without a ridge it is torch's own weighted cross-entropy.
    plain = F.cross_entropy(logits, target, weight=1 / counts)
    assert torch.isclose(loss_of(logits, target, "border"), plain)


def test_a_class_that_does_not_occur_weighs_nothing():
    logits, target = example()
    loss = loss_of(logits, target.clamp(max=1), "border")
    assert torch.isfinite(loss)
