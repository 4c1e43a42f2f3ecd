"""LPIPS against a slow one out of torch's own layers, from files of the published layouts."""

import pytest

torch = pytest.importorskip("torch")

from reference.networks import backbone, lin_state, slow_lpips  # noqa: E402
from steadyview.errors import InputError  # noqa: E402
from steadyview.models.lpips import Lpips  # noqa: E402


def files_of(folder, kind):
    features = backbone(kind)
    lins = lin_state(features, kind)
    torch.save(lins, folder / f"{kind}.pth")
    state = {f"features.{name}": value for name, value in features.state_dict().items()}
    state["classifier.1.weight"] = torch.zeros(4, 4)  # torchvision's files hold it too
    torch.save(state, folder / "backbone.pth")
    return features, lins, [folder / f"{kind}.pth", folder / "backbone.pth"]


def pictures(count=2):
    random = torch.Generator().manual_seed(0)
    first = torch.rand(count, 3, 64, 80, generator=random)
    return first, (first + 0.2 * torch.rand(count, 3, 64, 80, generator=random)).clamp(0, 1)


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_it_is_its_definition(tmp_path, kind):
    features, lins, files = files_of(tmp_path, kind)
    first, second = pictures()
    found = Lpips(files)(first, second)
    for k in range(2):
        # float32 sums of up to 144 products, about 1e-6 of their size.
        assert float(found[k]) == pytest.approx(
            slow_lpips(features, lins, kind, first[k], second[k]), rel=1e-4
        )
    assert float(Lpips(files)(first, first).abs().max()) == 0


def test_the_state_of_a_whole_lpips_is_one_file(tmp_path):
    features, lins, files = files_of(tmp_path, "alex")
    slices = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    whole = {
        f"net.slice{slices[int(name.split('.')[0])]}.{name}": value
        for name, value in features.state_dict().items()
    }
    whole |= {name.replace("lin", "lins.", 1): value for name, value in lins.items()}
    torch.save(whole, tmp_path / "whole.pth")
    assert torch.equal(Lpips([tmp_path / "whole.pth"])(*pictures()), Lpips(files)(*pictures()))


def test_what_does_not_fit_is_named(tmp_path):
    _, lins, files = files_of(tmp_path, "alex")
    with pytest.raises(InputError, match=r"lack 'features\.0\.weight'.*they hold lin0"):
        Lpips(files[:1])
    with pytest.raises(InputError, match=r"lack 'lin0\.model\.1\.weight'"):
        Lpips(files[1:])
    lins["lin2.model.1.weight"] = torch.zeros(1, 5, 1, 1)
    torch.save(lins, tmp_path / "wrong.pth")
    with pytest.raises(InputError, match=r"AlexNet.*lin2.*1x16x1x1, got 1x5x1x1"):
        Lpips([tmp_path / "wrong.pth", files[1]])
    with pytest.raises(InputError, match="no such file"):
        Lpips([tmp_path / "none.pth"])
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match=r"text\.pth: is no state dict"):
        Lpips([tmp_path / "text.pth"])
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="none of the weights"):
        Lpips([tmp_path / "other.pth"])
    with pytest.raises(InputError, match="64x64"):
        Lpips(files)(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))
