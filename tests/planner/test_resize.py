"""Networks at other sizes of image: equal parameters, the work of their own size, or a refusal."""

import pytest

from hwprofiles.errors import ModelError
from planner.model import load_model


@pytest.mark.parametrize("name", ["resnet-18", "densenet-121", "mobilenet-v2", "squeezenet"])
def test_another_size_changes_the_work_alone(name):
    own, large = load_model(name), load_model(f"{name}:448")
    assert large.name == f"{name}:448"
    assert large.record_shape == (3, 448, 448)
    assert large.parameter_count == own.parameter_count
    assert large.flop("forward") == pytest.approx(4 * own.flop("forward"), rel=0.05)


def test_its_own_size_is_the_network_itself():
    assert load_model("resnet-18:224").sha256() == load_model("resnet-18").sha256()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgg-11:256", "layer 'classifier.fc6' reads maps of one size, those of images of 224"),
        ("resnet-20:64", "only a network whose records are images of its own size has"),
        ("mlp:64", "only a network whose records are images of its own size has"),
        ("densenet-121:16", "has no room on its maps"),
        ("resnet-18:0", "expected 1 to 4096 pixels a side after the colon, got '0'"),
        ("resnet-18:x", "expected 1 to 4096 pixels a side after the colon, got 'x'"),
    ],
)
def test_a_size_that_cannot_be_is_refused(name, message):
    with pytest.raises(ModelError, match=message):
        load_model(name)
