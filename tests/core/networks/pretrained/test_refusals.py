"""Published weights and options that do not fit each other."""

from pathlib import Path

import pytest
import torch
from torchvision import models

from torchlane.core.networks import build_network
from torchlane.core.options import ModelOptions

from .publishing import announce, data_and_encoder, options_with, publish


def test_features_without_a_classifier_are_refused():
    _, encoder, _ = data_and_encoder()
    with pytest.raises(ValueError, match="not published for a classifier vgg16; published are IMAGENET1K_V1, DEFAULT"):
        build_network(options_with(Path("here"), name="vgg16", weights="IMAGENET1K_FEATURES"), encoder)


@pytest.mark.parametrize(
    ("others", "pixels", "message"),
    [
        (
            {"weights": "IMAGENET1K_V7"},
            "unit",
            "'IMAGENET1K_V7' are not published for a classifier mobilenet_v3_small; published are FIRST, OTHER",
        ),
        (
            {"arguments": {"reduced_tail": True}},
            "unit",
            "do not fit the network: size mismatch for .*; leave out the mod",
        ),
        ({}, "z_score", "published weights bring their own scale of pixels, and encoding.pixels z_score would change"),
    ],
)
def test_weights_that_do_not_fit_are_refused(options, others, pixels, message):
    _, encoder, _ = data_and_encoder(pixels=pixels)
    with pytest.raises(ValueError, match=message):
        build_network(ModelOptions.model_validate({**options.model_dump(), **others}), encoder)


def test_weights_of_another_model_are_refused_by_the_names_that_differ(tmp_path, monkeypatch):
    torch.manual_seed(0)
    path = publish(models.squeezenet1_1().state_dict(), tmp_path)
    announce(monkeypatch, f"https://models.example/{path.name}")
    _, encoder, _ = data_and_encoder()
    with pytest.raises(ValueError, match="do not fit the network: .*features"):
        build_network(options_with(tmp_path), encoder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cnn", "weights": "DEFAULT"}, "weights is not an option of kind cnn"),
        (
            {"kind": "torchvision", "name": "resnet18", "weights_folder": "x"},
            "weights_folder is used only with weights; set",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ModelOptions.model_validate(options)
