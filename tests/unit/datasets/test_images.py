"""From settings to normalised images: selected images, stored values, and inputs of a network."""

import json
import os

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from dynamical_loss import cli
from dynamical_loss.datasets import digits, loading, normalisation
from dynamical_loss.datasets.kind import Shape
from dynamical_loss.datasets.kinds import AnyDataset
from dynamical_loss.datasets.kinds.cifar10 import Cifar10Settings
from dynamical_loss.datasets.kinds.digits import DigitsSettings
from dynamical_loss.datasets.kinds.fashion_mnist import FashionMnistSettings
from dynamical_loss.datasets.kinds.spiral import SpiralSettings
from dynamical_loss.datasets.selection import balanced, interleaved
from dynamical_loss.errors import UserError
from dynamical_loss.results import netcdf
from dynamical_loss.results.record import Inputs
from dynamical_loss.settings import validate
from image_sources import cifar, fashion, image_files, pack, spread

# --------------------------------------------------------------------------------------------------
# Selection of images
# --------------------------------------------------------------------------------------------------

LABELS = arrays.arrays(np.uint8, st.integers(1, 60), elements=st.integers(0, 4))


@given(labels=LABELS, seed=st.integers(0, 2**32 - 1), data=st.data())
@settings(max_examples=60)
def test_a_choice_is_as_equal_as_the_classes_allow_and_part_of_every_larger_one(labels, seed, data):
    count = data.draw(st.integers(0, len(labels)))
    taken = balanced(labels, count, (seed, 0))
    assert len(set(taken.tolist())) == len(taken) == count
    sizes = np.bincount(labels[taken], minlength=5)
    left = np.bincount(labels, minlength=5) - sizes
    # No class has two more images than another class that still has images left.
    assert all(sizes[rich] - sizes[poor] <= 1 for rich in range(5) for poor in range(5) if left[poor])
    larger = balanced(labels, data.draw(st.integers(count, len(labels))), (seed, 0)).tolist()
    chosen = set(taken.tolist())
    assert [position for position in larger if position in chosen] == taken.tolist()


def test_all_samples_come_in_the_order_of_a_frozen_generator():
    labels = np.arange(40) % 4
    expected = np.random.RandomState([7, 1]).permutation(40)
    np.testing.assert_array_equal(balanced(labels, 40, (7, 1)), expected)
    assert not np.array_equal(balanced(labels, 40, (7, 0)), expected)


def test_the_first_samples_are_a_fair_sample_of_all():
    """Class counts among the first n samples follow the statistics of drawing without replacement."""
    labels = np.repeat(np.arange(10), 500)
    first = np.bincount(labels[balanced(labels, 5000, (0, 0))[:1000]], minlength=10)
    spread_ = np.sqrt(1000 * 0.1 * 0.9 * 4000 / 4999)
    assert np.abs(first - 100).max() < 4 * spread_
    assert first.std() > spread_ / 4  # the counts are not balanced by construction


@given(labels=LABELS, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_interleaved_samples_come_in_turn_one_of_each_class(labels, seed):
    order = interleaved(labels, (seed, 3))
    np.testing.assert_array_equal(np.sort(order), np.arange(len(labels)))
    expected = [
        label for turn in range(len(labels)) for label in range(5) if np.count_nonzero(labels == label) > turn
    ]
    np.testing.assert_array_equal(labels[order], expected)
    # Within a class the order is that of the frozen generator.
    drawn = np.random.RandomState([seed, 3]).permutation(len(labels))
    for label in range(5):
        np.testing.assert_array_equal(order[labels[order] == label], drawn[labels[drawn] == label])


# --------------------------------------------------------------------------------------------------
# Statistics
# --------------------------------------------------------------------------------------------------

PIXELS = arrays.arrays(
    np.uint8, st.tuples(st.integers(2, 12), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3]))
)


@given(images=PIXELS)
@settings(max_examples=50)
def test_statistics_are_those_of_numpy(images):
    mean, deviation = normalisation.channel_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(deviation, (images / 255).std(axis=(0, 1, 2)), rtol=1e-12, atol=1e-12)


@given(images=PIXELS.filter(lambda images: images.std(axis=(0, 1, 2)).min() > 1))
@settings(max_examples=50)
def test_standardised_images_have_mean_0_and_deviation_1_in_each_channel(images):
    inputs = normalisation.standardised(images, *normalisation.channel_statistics(images))
    assert inputs.dtype == np.float32
    np.testing.assert_allclose(inputs.mean(axis=(0, 1, 2), dtype=float), 0, atol=2e-5)
    np.testing.assert_allclose(inputs.std(axis=(0, 1, 2), dtype=float), 1, rtol=1e-5)


def test_scaled_images_go_from_0_to_1():
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    np.testing.assert_array_equal(
        normalisation.scaled(images).ravel(), np.arange(256, dtype=np.float32) / np.float32(255)
    )


@pytest.fixture
def small_chunks(monkeypatch):
    """Process three images at a time, as for sets that do not fit into memory."""
    monkeypatch.setattr(normalisation, "_CHUNK_BYTES", 3 * 8 * 64)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("regularisation", [1e-3, 0.1, 10])
def test_whitening_shrinks_every_variance_as_the_regularisation_says(regularisation):
    """Covariance U diag(v) Uᵀ becomes U diag(v / (v + ε)) Uᵀ; numpy computes the covariance."""
    images = digits.read(297, 0).train.pixels[:200]
    flat = images.reshape(200, 64) / 255
    variances, modes = np.linalg.eigh(np.cov(flat, rowvar=False, bias=True))
    epsilon = regularisation * variances.mean()
    mean, matrix = normalisation.whitening(images, regularisation)
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-12)
    expected = (modes / np.sqrt(variances.clip(0) + epsilon)) @ modes.T
    np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    inputs = normalisation.whitened(images, mean, matrix)
    assert inputs.shape == images.shape and inputs.dtype == np.float32
    white = np.cov(inputs.reshape(200, 64).astype(float), rowvar=False, bias=True)
    shrunk = (modes * variances / (variances + epsilon)) @ modes.T
    np.testing.assert_allclose(white, shrunk, atol=2e-5)
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=1e-4)


def test_whitening_is_zero_phase_and_without_regularisation_complete():
    """W is symmetric, so a whitened image resembles the original; its features are uncorrelated."""
    images = np.random.default_rng(0).integers(0, 256, (500, 3, 3, 1), np.uint8)
    mean, matrix = normalisation.whitening(images, 1e-12)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    white = (images.reshape(500, 9) / 255 - mean) @ matrix
    np.testing.assert_allclose(np.cov(white, rowvar=False, bias=True), np.eye(9), atol=1e-9)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("components", [1, 10, 40])
def test_principal_components_are_those_of_scikit_learn(components):
    """Equal up to the sign, and up to the variance, which scikit-learn divides by n − 1 and we by n."""
    images = digits.read(297, 0).train.pixels[:200]
    flat = images.reshape(200, 64) / 255
    inputs = normalisation.projected(images, *normalisation.principal_axes(images, components))
    oracle = PCA(components, whiten=True, svd_solver="full").fit_transform(flat) * np.sqrt(200 / 199)
    assert (inputs.shape, inputs.dtype) == ((200, components), np.float64)
    signs = np.sign((inputs * oracle).sum(axis=0))
    np.testing.assert_allclose(inputs, signs * oracle, atol=1e-9)
    covariance = np.cov(inputs, rowvar=False, bias=True)
    np.testing.assert_allclose(covariance, np.eye(components).squeeze(), atol=1e-11)


def test_principal_axes_have_a_sign_of_their_own():
    """The sign is fixed, so that the inputs do not depend on the library of linear algebra."""
    images = digits.read(297, 0).train.pixels
    _, axes = normalisation.principal_axes(images, 20)
    assert (axes.max(axis=0) == np.abs(axes).max(axis=0)).all()
    _, mirrored = normalisation.principal_axes(images[:, :, ::-1], 20)
    np.testing.assert_allclose(mirrored, axes.reshape(8, 8, 20)[:, ::-1].reshape(64, 20), atol=1e-9)


@pytest.mark.usefixtures("small_chunks")
@given(images=PIXELS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_directions_from_the_mean_lie_on_a_sphere_of_known_radius(images):
    flat = images.reshape(len(images), -1) / 255
    mean = normalisation.mean_image(images)
    np.testing.assert_allclose(mean, flat.mean(axis=0), atol=1e-15)
    assume((np.abs(flat - mean).max(axis=1) > 0).all())
    normalisation.require_directions(images, mean)
    inputs = normalisation.on_sphere(images, mean)
    assert (inputs.shape, inputs.dtype) == (images.shape, np.float64)
    rows = inputs.reshape(len(images), -1)
    np.testing.assert_allclose((rows**2).sum(axis=1), flat.shape[1], rtol=1e-14)
    along = (rows * (flat - mean)).sum(axis=1)
    np.testing.assert_allclose(along, np.sqrt(flat.shape[1]) * np.linalg.norm(flat - mean, axis=1))


def test_an_image_that_is_the_mean_has_no_direction():
    images = np.array([10, 30, 20], np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    mean = normalisation.mean_image(images)
    normalisation.require_directions(images[:2], mean)
    with pytest.raises(
        UserError, match=r"^normalisation: an image equals the mean image, .*; take another normalisation$"
    ):
        normalisation.require_directions(images, mean)


def test_more_components_than_the_images_have_are_refused():
    """Three images differ along two directions."""
    images = digits.read(297, 0).train.pixels[:3]
    assert normalisation.principal_axes(images, 2)[1].shape == (64, 2)
    with pytest.raises(UserError, match=r"^components: the images differ along 2 directions, fewer than 3; "):
        normalisation.principal_axes(images, 3)


@pytest.mark.parametrize("kind", ["standard", "zca"])
def test_images_of_one_colour_cannot_be_normalised(tmp_path, kind):
    plain = np.full((10, 28, 28), 9, np.uint8), np.arange(10, dtype=np.uint8)
    folder = fashion(tmp_path / "fashion", plain, plain)
    chosen = {"source": str(folder), "train_samples": 10, "validation_samples": 10, "normalisation": kind}
    chosen["title"] = "one grey"
    with pytest.raises(UserError, match=r"^normalisation: .* none$"):
        FashionMnistSettings(kind="fashion_mnist", **chosen).prepare()


# --------------------------------------------------------------------------------------------------
# From settings to a network's inputs
# --------------------------------------------------------------------------------------------------


def prepared(path, values):
    done = CliRunner().invoke(
        cli.commands,
        ["prepare-dataset", "--settings", json.dumps(values), "--output", str(path)],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    return netcdf.read(path), loading.load(path, Inputs())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Tar of 60 + 30 JPEG images."""
    folder = tmp_path_factory.mktemp("pictures")
    return pack(folder / "pictures.tar.gz", image_files(cifar(60, 1), cifar(30, 2), "JPEG"))


def test_a_file_of_images_says_all_that_is_asked_of_it(tmp_path, pictures):
    values = {"kind": "cifar10", "source": str(pictures), "train_samples": 40, "validation_samples": 20}
    stored, data = prepared(tmp_path / "a.nc", values)
    types = {name: str(stored[name].dtype) for name in stored.data_vars if name != "class_name"}
    assert {name: (stored[name].dims, kind) for name, kind in types.items()} == {
        "train_input": (("train_sample", "row", "column", "channel"), "uint8"),
        "train_label": (("train_sample",), "uint8"),
        "validation_input": (("validation_sample", "row", "column", "channel"), "uint8"),
        "validation_label": (("validation_sample",), "uint8"),
        "mean": (("channel",), "float64"),
        "standard_deviation": (("channel",), "float64"),
    }
    assert stored["class_name"].dims == ("class_index",) and str(stored["class_name"][3].item()) == "cat"
    attributes = stored.attrs
    assert attributes["dataset"] == "CIFAR-10"
    assert attributes["dataset_source"] == "pictures.tar.gz (tar of JPEG images)"
    assert (
        attributes["dataset_description"] == "CIFAR-10 from JPEG copies (lossy, not checked), 40 + 20 images"
    )
    assert attributes["dataset_copies"] == data.attributes["dataset_copies"] == "lossy"
    assert attributes["dataset_settings"] == data.attributes["dataset_settings"] == attributes["settings"]
    assert attributes["split"] == (
        "60 + 30 images, as the source parts them, which was compared with no official split"
    )
    assert attributes["source"] == (
        "dynamical_loss.stages.prepare_dataset, dynamical_loss.datasets.kinds.cifar10"
    )
    # The folder of the source is private and must not be recorded.
    assert not [name for name, value in attributes.items() if str(pictures.parent) in str(value)]
    assert json.loads(attributes["settings"])["source"] == "pictures.tar.gz"
    assert (data.train_inputs.shape, data.train_inputs.dtype) == ((40, 32, 32, 3), np.float32)
    assert (data.validation_inputs.shape, data.validation_inputs.dtype) == ((20, 32, 32, 3), np.float32)
    assert data.classes == 10
    assert data.attributes["dataset_description"] == attributes["dataset_description"]
    np.testing.assert_array_equal(np.bincount(data.train_labels), np.full(10, 4))
    np.testing.assert_array_equal(np.bincount(data.validation_labels), np.full(10, 2))
    # Validation images are normalised with the statistics of the selected training images, too.
    mean, deviation = stored["mean"].values, stored["standard_deviation"].values
    np.testing.assert_allclose(data.train_inputs.mean(axis=(0, 1, 2), dtype=float), 0, atol=1e-5)
    expected = (stored["validation_input"].values / 255 - mean) / deviation
    np.testing.assert_allclose(data.validation_inputs, expected, atol=1e-5)


def test_a_smaller_set_is_part_of_a_larger_one_and_all_is_deterministic(tmp_path, pictures):
    values = {"kind": "cifar10", "source": str(pictures), "train_samples": 30, "validation_samples": 30}
    first, _ = prepared(tmp_path / "a.nc", values)
    again, _ = prepared(tmp_path / "b.nc", values)
    assert first.attrs["content_checksum"] == again.attrs["content_checksum"]
    other, _ = prepared(tmp_path / "c.nc", values | {"sample_seed": 1})
    assert first.attrs["content_checksum"] != other.attrs["content_checksum"]
    larger, _ = prepared(tmp_path / "d.nc", values | {"train_samples": 50})
    rows = [set(map(bytes, dataset["train_input"].values)) for dataset in (first, larger)]
    assert len(rows[0]) == 30 and rows[0] < rows[1]


def test_what_a_network_sees_is_part_of_the_content(tmp_path):
    """Checkpoints and later stages identify a dataset by the checksum of its content."""
    values = {"kind": "digits", "train_samples": 40, "validation_samples": 20}
    files = [
        prepared(tmp_path / f"{kind}.nc", values | {"normalisation": kind})
        for kind in ("standard", "none", "zca")
    ]
    assert len({stored.attrs["content_checksum"] for stored, _ in files}) == 3
    spread = [data.train_inputs.std() for _, data in files]
    np.testing.assert_allclose(spread[:2], [1, files[1][0]["train_input"].values.std() / 255], rtol=1e-3)
    assert [data.attributes["dataset_normalisation"] for _, data in files] == ["standard", "none", "zca"]


def test_images_keep_their_labels(tmp_path):
    """Every pixel of an image encodes its class."""
    labels = np.arange(40, dtype=np.uint8) % 10
    images = np.broadcast_to((20 * labels)[:, None, None, None], (40, 32, 32, 3))
    folder = spread(tmp_path / "images", image_files((images, labels), (images, labels)))
    values = {"kind": "cifar10", "source": str(folder), "normalisation": "none"}
    stored, data = prepared(tmp_path / "a.nc", values | {"train_samples": 25, "validation_samples": 40})
    np.testing.assert_array_equal(stored["train_input"][:, 5, 5, 1], 20 * stored["train_label"])
    np.testing.assert_allclose(
        data.validation_inputs[:, 0, 0, 0], 20 * data.validation_labels / 255, rtol=1e-6
    )
    assert (
        np.bincount(data.train_labels).tolist().count(3) == 5
    )  # 25 images of 10 classes: 2 or 3 of each class
    targets = data.one_hot(data.train_labels)
    np.testing.assert_array_equal(targets, data.train_labels[:, None] == np.arange(10))


def test_digits_need_no_source_and_are_all_used(tmp_path):
    stored, data = prepared(tmp_path / "a.nc", {"kind": "digits", "normalisation": "zca"})
    assert data.attributes["dataset_description"] == "digits 8×8, 1 500 + 297 images"
    assert data.train_inputs.shape == (1500, 8, 8, 1)
    assert stored["whitening"].dims == ("feature", "feature_out")
    flat = stored["train_input"].values.reshape(1500, 64) / 255
    variances, modes = np.linalg.eigh(np.cov(flat, rowvar=False, bias=True))
    shrunk = (modes * variances / (variances + 0.1 * variances.mean())) @ modes.T
    found = np.cov(data.train_inputs.reshape(1500, 64).astype(float), rowvar=False, bias=True)
    np.testing.assert_allclose(found, shrunk, atol=1e-5)
    part, _ = prepared(tmp_path / "b.nc", {"kind": "digits", "train_samples": 100, "validation_samples": 50})
    everything = set(map(bytes, stored["train_input"].values))
    assert set(map(bytes, part["train_input"].values)) < everything
    np.testing.assert_array_equal(np.bincount(part["validation_label"]), np.full(10, 5))


def test_images_in_the_layout_of_fashion_mnist_go_through_the_command_as_what_they_are(tmp_path):
    images, labels = cifar(30, 5)
    grey = images[:, :28, :28, 0], labels
    folder = fashion(tmp_path / "fashion", grey, grey)
    values = {"kind": "fashion_mnist", "source": str(folder), "title": "noise (grey)"}
    values |= {"train_samples": 20, "validation_samples": 10}
    stored, data = prepared(tmp_path / "a.nc", values)
    assert data.attributes["dataset_description"] == "noise (grey), 20 + 10 images"
    assert stored.attrs["dataset"] == "noise (grey)"
    assert stored["class_name"].values.tolist() == [str(digit) for digit in range(10)]
    assert data.train_inputs.shape == (20, 28, 28, 1)
    said = [value for name, value in stored.attrs.items() if name.startswith(("dataset", "split"))]
    assert len(said) > 6
    plain = json.dumps([value for value in said if "fashion_mnist" not in value]).casefold()
    assert "fashion-mnist" not in plain and "official;" not in plain


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("", "one line of text without $"),
        (" noise", "and no spaces at its ends"),
        ("a\nb", "one line of text without $"),
        ("caf\udce9", "one line of text without $"),
        ("$x$", "one line of text without $"),
        ("my Fashion MNIST", "not name a dataset that is known by its checksum"),
        ("CIFAR-10", "not name a dataset that is known by its checksum"),
        ("Official digits", "not name a dataset that is known by its checksum"),
    ],
)
def test_a_title_is_one_line_and_takes_no_name_of_a_checked_dataset(title, line):
    with pytest.raises(UserError) as caught:
        validate(AnyDataset, {"kind": "fashion_mnist", "title": title}, "test")
    message = str(caught.value)
    assert message.startswith("test: key 'title': must ") and line in message
    assert "; say what the images are (it is " in message and message.isprintable()


def test_a_folder_whose_name_is_no_text_is_named_in_valid_text(tmp_path, monkeypatch):
    """A home folder, or the folder that Snakemake is started in, may have such a name."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    spread(folder, image_files(cifar(20, 1), cifar(10, 2)))
    monkeypatch.chdir(folder)
    values = {"kind": "cifar10", "source": ".", "train_samples": 20, "validation_samples": 10}
    stored, _ = prepared(tmp_path / "a.nc", values)
    assert stored.attrs["dataset_source"] == "caf\\xe9 (folder of PNG images)"


def test_the_spiral_comes_out_as_it_went_in(tmp_path):
    stored, data = prepared(tmp_path / "a.nc", {})
    description = "spiral, 300 + 300 points, 3 arms of 2 turns, noise 0.2 rad, seeds 0 and 1"
    assert data.attributes["dataset_description"] == stored.attrs["dataset_description"] == description
    assert data.train_inputs.dtype == np.float64
    np.testing.assert_array_equal(data.train_inputs, SpiralSettings().prepare()["train_input"])
    assert data.classes == 3


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {},
            "holds 60 + 30 images, and 50 000 + 10 000 are expected unless train_samples and "
            "validation_samples are set; set both",
        ),
        ({"train_samples": 60}, "holds 60 + 30 images, and 50 000 + 10 000 are expected unless"),
        (
            {"train_samples": 61, "validation_samples": 30},
            "train_samples: 61 images need up to 7 images of each class, and ",
        ),
        (
            {"train_samples": 60, "validation_samples": 31},
            "holds 3 of airplane; set it to at most 30",
        ),
    ],
)
def test_too_few_images_are_told_with_what_to_set(pictures, values, line):
    with pytest.raises(UserError) as caught:
        Cifar10Settings(kind="cifar10", source=str(pictures), **values).prepare()
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_every_digit_that_is_there_may_be_asked_for():
    """The settings allow as many images as are left after the validation images are set apart."""
    most = DigitsSettings(kind="digits", train_samples=1500, validation_samples=297)
    made = most.prepare()
    assert (made.sizes["train_sample"], made.sizes["validation_sample"]) == (1500, 297)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "digits", "train_samples": 1501},
        {"kind": "digits", "validation_samples": 298},
        {"kind": "fashion_mnist", "train_samples": 60_001},
        {"kind": "cifar10", "validation_samples": 10_001},
    ],
)
def test_more_images_than_a_set_has_are_refused_before_any_is_read(values):
    (name, count) = list(values.items())[1]
    with pytest.raises(UserError) as caught:
        validate(AnyDataset, values, "test")
    assert str(caught.value) == (
        f"test: key '{name}': must be at most {count - 1}, as many as the set has; take fewer, or null for "
        f"all (it is {count})"
    )


@pytest.mark.parametrize(
    ("values", "location"),
    [
        ({}, None),
        ({"kind": "digits"}, None),
        ({"kind": "cifar10"}, "data/cifar-10-binary.tar.gz"),
        ({"kind": "cifar10", "source": "a/b.tar"}, "a/b.tar"),
        ({"kind": "fashion_mnist"}, "/usr/share/datasets/fashion-mnist"),
    ],
)
def test_settings_say_where_images_are_read_from(values, location):
    found = validate(AnyDataset, values, "test").location
    assert (found if found is None else str(found)) == location


def test_reduced_images_are_means_of_squares(tmp_path):
    values = {"kind": "digits", "train_samples": 40, "validation_samples": 20}
    whole, _ = prepared(tmp_path / "whole.nc", values)
    half, data = prepared(tmp_path / "half.nc", values | {"reduction": 2})
    assert half["train_input"].shape == (40, 4, 4, 1)
    pixels = whole["train_input"].values.astype(float)
    means = sum(pixels[:, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
    np.testing.assert_allclose(half["train_input"], means, atol=0.5)
    np.testing.assert_array_equal(half["train_label"], whole["train_label"])
    assert data.shape == validate(AnyDataset, values | {"reduction": 2}, "test").shape
    assert "reduced to 4×4 pixels" in half.attrs["dataset_description"]


def test_squares_that_do_not_cover_an_image_are_refused():
    with pytest.raises(UserError, match="'reduction': squares of 3 do not cover 8×8 pixels; take a divisor"):
        validate(AnyDataset, {"kind": "digits", "reduction": 3}, "test")


# --------------------------------------------------------------------------------------------------
# Parity, pooled images, and inputs normalised with the statistics of all images
# --------------------------------------------------------------------------------------------------

POOLED = {"kind": "digits", "split": "pooled", "train_samples": 200, "validation_samples": 1540}


def every_digit():
    """Return the intensities as they are stored, and the labels, from scikit-learn."""
    found = load_digits()
    return np.rint(found.images[..., None] * 255 / 16).astype(np.uint8), found.target


def classes_of(pixels):
    """Return the classes of some digits, and their positions in scikit-learn's list, where all differ."""
    images, target = every_digit()
    places = {image.tobytes(): place for place, image in enumerate(images)}
    assert len(places) == len(images) == 1797
    found = np.array([places[image.tobytes()] for image in pixels])
    return target[found], found


def test_pooled_images_are_dealt_out_in_turn_and_no_image_twice(tmp_path):
    stored, data = prepared(tmp_path / "a.nc", POOLED)
    train, in_train = classes_of(stored["train_input"].values)
    validation, in_validation = classes_of(stored["validation_input"].values)
    np.testing.assert_array_equal(train, np.arange(200) % 10)
    np.testing.assert_array_equal(validation, np.arange(1540) % 10)
    assert len({*in_train, *in_validation}) == 1740
    np.testing.assert_array_equal(data.train_labels, train)
    assert stored.attrs["dataset_description"] == "digits 8×8, pooled split, 200 + 1 540 images"
    assert stored.attrs["split"] == (
        "1 500 + 297 images, pooled and dealt out class after class, drawn from sample_seed"
    )
    # The pooled training set has images of both parts of the source.
    apart = digits.read(297, 0).validation.pixels
    _, of_validation = classes_of(apart)
    assert 0 < len({*of_validation} & {*in_train}) < 100


def test_pooled_images_are_drawn_by_their_seed(tmp_path):
    first = DigitsSettings(**POOLED)
    again, other = first.redrawn(0).prepare(), first.redrawn(1).prepare()
    xr.testing.assert_identical(first.prepare(), again)
    _, taken = classes_of(again["train_input"].values)
    _, others = classes_of(other["train_input"].values)
    # Two random draws of 200 out of 1797 are expected to share 22.
    assert len({*taken} & {*others}) < 60
    # A pooled training set as large as the official one is still a random selection.
    swapped = DigitsSettings(**POOLED | {"train_samples": 1500, "validation_samples": 100})
    assert swapped.redrawn(5).sample_seed == 5


def test_all_images_of_a_pool_may_be_asked_for():
    made = DigitsSettings(**POOLED | {"validation_samples": 1597}).prepare()
    _, places = classes_of(np.concatenate([made["train_input"], made["validation_input"]]))
    np.testing.assert_array_equal(np.sort(places), np.arange(1797))


@pytest.mark.parametrize("split", ["official", "pooled"])
def test_parity_is_that_of_the_class(tmp_path, split):
    values = {**POOLED, "split": split, "validation_samples": 290, "labels": "parity"}
    stored, data = prepared(tmp_path / "a.nc", values)
    for part, labels in (("train", data.train_labels), ("validation", data.validation_labels)):
        digit, _ = classes_of(stored[f"{part}_input"].values)
        np.testing.assert_array_equal(labels, digit % 2)
        np.testing.assert_array_equal(np.bincount(digit), np.full(10, len(labels) // 10))
    assert stored["class_name"].values.tolist() == ["even", "odd"]
    assert data.classes == 2 and data.shape == validate(AnyDataset, values, "test").shape
    words = "parity labels, pooled split" if split == "pooled" else "parity labels"
    assert stored.attrs["dataset_description"] == f"digits 8×8, {words}, 200 + 290 images"


@pytest.mark.parametrize("split", ["official", "pooled"])
def test_inputs_on_a_sphere_are_those_of_all_digits(tmp_path, split):
    values = {**POOLED, "split": split, "validation_samples": 290, "normalisation": "sphere"}
    stored, data = prepared(tmp_path / "a.nc", values)
    images, _ = every_digit()
    mean = (images / 255).mean(axis=0)
    np.testing.assert_allclose(stored["sphere_mean"], mean.ravel(), rtol=1e-13)
    centred = stored["train_input"].values / 255 - mean
    radii = np.sqrt((centred**2).sum(axis=(1, 2, 3), keepdims=True))
    assert data.train_inputs.dtype == data.validation_inputs.dtype == np.float64
    np.testing.assert_allclose(data.train_inputs, 8 * centred / radii, atol=1e-13)
    np.testing.assert_allclose((data.validation_inputs**2).sum(axis=(1, 2, 3)), 64, rtol=1e-14)
    assert stored.attrs["precision"] == data.precision == "float64"
    assert "on a sphere" in stored.attrs["dataset_description"]


def test_principal_components_are_those_of_all_digits(tmp_path):
    values = {**POOLED, "normalisation": "pca", "labels": "parity", "components": 7, "reduction": 2}
    stored, data = prepared(tmp_path / "a.nc", values)
    images, _ = every_digit()
    flat = np.rint(sum(images[:, i::2, j::2] / 4 for i in (0, 1) for j in (0, 1))).reshape(1797, 16) / 255
    oracle = PCA(7, whiten=True, svd_solver="full").fit(flat)
    expected = oracle.transform(stored["train_input"].values.reshape(200, 16) / 255) * np.sqrt(1797 / 1796)
    signs = np.sign((expected * data.train_inputs).sum(axis=0))
    np.testing.assert_allclose(data.train_inputs, signs * expected, atol=1e-9)
    assert data.validation_inputs.shape == (1540, 7) and data.precision == "float64"
    assert data.shape == validate(AnyDataset, values, "test").shape == Shape(200, 1540, (7,), 2)
    assert "7 principal components" in stored.attrs["dataset_description"]


@pytest.mark.parametrize("part", [{}, {"train_samples": 205, "validation_samples": 33, "sample_seed": 4}])
def test_without_the_new_keys_the_official_parts_are_taken_as_ever(part):
    """Each part is drawn separately, as it was before there were other splits."""
    settings_ = DigitsSettings(kind="digits", **part)
    made, shape, seed = settings_.prepare(), settings_.shape, settings_.sample_seed
    source = digits.read(297, seed)
    for number, (name, count) in enumerate(
        (("train", shape.train_samples), ("validation", shape.validation_samples))
    ):
        images = getattr(source, name)
        taken = balanced(images.labels, count, (seed, number))
        np.testing.assert_array_equal(made[f"{name}_input"], images.pixels[taken])
        np.testing.assert_array_equal(made[f"{name}_label"], images.labels[taken])
    assert set(made.data_vars) == {
        *(f"{name}_{what}" for name in ("train", "validation") for what in ("input", "label")),
        *("class_name", "mean", "standard_deviation"),
    }
    assert settings_.precision == "float32"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"validation_samples": None}, "split: pooled needs train_samples and validation_samples; set both"),
        ({"train_samples": None}, "split: pooled needs train_samples and validation_samples; set both"),
        (
            {"validation_samples": 1598},
            "train_samples: with validation_samples 1798 images are needed, and the set has 1797; take fewer",
        ),
        (
            {"labels": "parity", "train_samples": 205},
            "train_samples: 205 images cannot be shared out equally among 10 classes, which labels: parity "
            "needs; take a multiple of 10",
        ),
        (
            {"labels": "parity", "split": "official", "validation_samples": None},
            "validation_samples: 297 images cannot be shared out equally among 10 classes, which labels: "
            "parity needs; take a multiple of 10",
        ),
        (
            {"normalisation": "pca", "components": 17, "reduction": 2},
            "components: 17 is more than the 16 pixel values of an image; take fewer",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_any_image_is_read(values, line):
    with pytest.raises(UserError) as caught:
        validate(AnyDataset, POOLED | values, "test")
    assert str(caught.value).endswith(f": {line}")


def test_an_odd_number_of_classes_has_no_balanced_parity():
    class Threes(DigitsSettings):
        whole = Shape(30, 30, (8, 8, 1), 3)

    with pytest.raises(
        UserError,
        match=r"labels: parity needs an even number of classes, the set has 3; set labels: class$",
    ):
        validate(Threes, {"kind": "digits", "labels": "parity"}, "test")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"validation_samples": 1550},
            "train_samples + validation_samples: 1750 images need up to 175 images of each class, and "
            "scikit-learn's load_digits holds 174 of 8; set it to at most 1740",
        ),
        (
            {"labels": "parity", "split": "official", "train_samples": 1500, "validation_samples": 290},
            "train_samples: 1500 images need up to 150 images of each class, and scikit-learn's load_digits "
            "holds ",
        ),
    ],
)
def test_classes_with_too_few_images_are_told(values, line):
    with pytest.raises(UserError) as caught:
        DigitsSettings(**POOLED | values).prepare()
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)
