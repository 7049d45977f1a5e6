"""Readers of images: packed images are read back unchanged, and every fault is reported in one line."""

import functools
import gzip
import hashlib
import io
import os
import pickle
import stat
import subprocess
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from dynamical_loss.datasets import archive, cifar10, cifar10_python, digits, fashion_mnist
from dynamical_loss.datasets.download import Remote, fetch
from dynamical_loss.datasets.kinds.fashion_mnist import FashionMnistSettings
from dynamical_loss.datasets.official import FASHION_MNIST_SHA256
from dynamical_loss.errors import UserError
from dynamical_loss.results import checksums
from image_sources import (
    batches,
    binary_files,
    cifar,
    encoded,
    fashion,
    idx,
    image_files,
    pack,
    pack_zip,
    png,
    python2_batch,
    python_files,
    spread,
)

TRAIN, TEST = cifar(50, 1), cifar(20, 2)


def grey(count, seed):
    images, labels = cifar(count, seed)
    return images[:, :28, :28, 0], labels


def official(path):
    """Return the official archive of this name, with the checksum of this file in place of its own."""
    return {
        name: archive._replace(sha256=checksums.of_file(path))
        for name, archive in cifar10.OFFICIAL.items()
        if name == path.name
    }


def assert_same_images(source, train=TRAIN, test=TEST):
    for found, (images, labels) in ((source.train, train), (source.validation, test)):
        np.testing.assert_array_equal(found.pixels, images)
        np.testing.assert_array_equal(found.labels, labels)
        assert (found.pixels.dtype, found.labels.dtype) == (np.uint8, np.uint8)


def by_class(images, labels):
    order = np.argsort(labels, kind="stable")
    return images[order], labels[order]


def refusal(function, *arguments, **options):
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --------------------------------------------------------------------------------------------------
# Official archives
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "files"),
    [("cifar-10-binary.tar.gz", binary_files), ("cifar-10-python.tar.gz", python_files)],
)
def test_an_official_archive_gives_its_images(tmp_path, name, files):
    path = pack(tmp_path / name, files(TRAIN, TEST) | {f"{files.__name__}/readme.html": b"<html>"})
    source = cifar10.read(path, official(path))
    assert_same_images(source)
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert source.title == source.dataset == "CIFAR-10"
    assert source.copies == "exact"
    assert source.origin.startswith(f"{name} (official ") and str(tmp_path) not in source.origin
    assert source.class_names == tuple(sorted(source.class_names))


def test_an_official_archive_is_known_by_its_checksum_under_any_name(tmp_path):
    path = pack(tmp_path / "cifar-10-binary.tar.gz", binary_files(TRAIN, TEST))
    known = official(path)
    assert_same_images(cifar10.read(path.rename(tmp_path / "mine.tgz"), known))


@pytest.mark.parametrize("name", ["cifar-10-binary.tar.gz", "cifar-10-python.tar.gz"])
def test_another_file_of_an_official_name_is_refused(tmp_path, name):
    path = pack(tmp_path / name, binary_files(TRAIN, TEST))
    message = refusal(cifar10.read, path)
    assert message.startswith(f"{path} is not the official file: SHA-256 {cifar10.OFFICIAL[name].sha256} ")
    assert checksums.of_file(path) in message
    assert message.endswith("remove it and download it again")


@pytest.mark.parametrize(
    ("name", "files"),
    [("cifar-10-binary.tar.gz", binary_files), ("cifar-10-python.tar.gz", python_files)],
)
@pytest.mark.parametrize("kept", [1.0, 0.6])
@pytest.mark.parametrize("top", ["", "./"])
def test_an_altered_official_archive_of_another_name_is_refused_as_such(tmp_path, name, files, kept, top):
    packed = {f"{top}{member}": content for member, content in files(TRAIN, TEST).items()}
    path = pack(tmp_path / "mine.tar.gz", packed)
    os.truncate(path, int(kept * path.stat().st_size))
    assert refusal(cifar10.read, path) == (
        f"{path} is not the official file: SHA-256 {cifar10.OFFICIAL[name].sha256} expected, "
        f"{checksums.of_file(path)} found; remove it and download it again"
    )


def test_images_beside_files_of_an_official_archive_are_read(tmp_path):
    path = pack(tmp_path / "images.tar", image_files(TRAIN, TEST) | {"cifar-10-batches-py/readme.html": b""})
    assert_same_images(cifar10.read(path), by_class(*TRAIN), by_class(*TEST))


def test_the_first_pixels_of_a_record_are_the_top_row_in_red(tmp_path):
    record = bytes([7]) + bytes(range(32)) + bytes(3072 - 32)
    files = {f"cifar-10-batches-bin/{name}.bin": record for name in batches(TRAIN, TEST)}
    path = pack(tmp_path / "cifar-10-binary.tar.gz", files)
    image = cifar10.read(path, official(path)).train.pixels[0]
    np.testing.assert_array_equal(image[0, :, 0], np.arange(32))
    assert image.sum() == np.arange(32).sum()


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("data_batch_3.bin", None, "holds no cifar-10-batches-bin/data_batch_3.bin"),
        ("test_batch.bin", bytes(3072), "test_batch.bin has 3,072 bytes, not whole records of 3073 bytes"),
        ("test_batch.bin", b"", "test_batch.bin has 0 bytes"),
        ("data_batch_1.bin", bytes([10]) + bytes(3072), "label 10 is not one of 0 to 9"),
        (
            "data_batch_1.bin",
            bytes(31_000_000),
            "has 31,000,000 bytes, where at most 30,730,000 are plausible",
        ),
    ],
)
def test_a_binary_archive_that_makes_no_sense_is_refused(tmp_path, name, content, line):
    files = binary_files(TRAIN, TEST) | {f"cifar-10-batches-bin/{name}": content}
    path = tmp_path / "cifar-10-binary.tar.gz"
    pack(path, {key: value for key, value in files.items() if value is not None})
    assert line in refusal(cifar10.read, path, official(path))


class Malicious:
    """Object that creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused_even_with_the_right_checksum(tmp_path):
    made = tmp_path / "made"
    evil = pickle.dumps({"data": Malicious(made), "labels": [0]}, protocol=2)
    files = python_files(TRAIN, TEST) | {"cifar-10-batches-py/data_batch_2": evil}
    path = pack(tmp_path / "cifar-10-python.tar.gz", files)
    message = refusal(cifar10.read, path, official(path))
    assert "data_batch_2 is no batch of CIFAR-10 (it names posix.mkdir)" in message
    assert not made.exists()
    pickle.loads(evil)  # without the reader's protection the pickle does its harm
    assert made.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "numpy.load", "numpy.core.multiarray.fromfile", "os.system"]
)
def test_a_pickle_names_nothing_but_arrays(tmp_path, name):
    module, _, function = name.rpartition(".")
    evil = b"\x80\x02c" + f"{module}\n{function}\n".encode("ascii") + b"."
    files = python_files(TRAIN, TEST) | {"cifar-10-batches-py/test_batch": evil}
    path = pack(tmp_path / "a.tar.gz", files)
    assert f"(it names {name})" in refusal(cifar10_python.read, path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no batch of CIFAR-10 (Ran out of input)"),
        (python2_batch(*TEST)[:5000], "is no batch of CIFAR-10 ("),
        (b"\x80\x02}.", "is no batch of CIFAR-10 (b'data')"),
        (b"\x80\x02N.", "is no batch of CIFAR-10 ("),
        (python2_batch(TEST[0], TEST[1][:-1]), "(its arrays have other shapes)"),
        (python2_batch(TEST[0], np.full(20, 11)), "label 11 is not one of 0 to 9"),
    ],
)
def test_a_batch_that_makes_no_sense_is_refused(tmp_path, content, reason):
    files = python_files(TRAIN, TEST) | {"cifar-10-batches-py/test_batch": content}
    assert reason in refusal(cifar10_python.read, pack(tmp_path / "a.tar.gz", files))


# --------------------------------------------------------------------------------------------------
# Images as files
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("top", ["", "cifar/", "./"])
def test_a_tar_of_png_images_gives_them_exactly_by_class(tmp_path, mode, top):
    files = {f"{top}{name}": content for name, content in image_files(TRAIN, TEST).items()}
    shuffled = dict(sorted(files.items(), key=lambda item: hashlib.sha256(item[0].encode("utf-8")).digest()))
    hidden = ("train/cat/.hidden", "train/.cache/x.png", "test/cat/.cache/x.png")
    extra = {f"{top}README.md": b"words"} | {f"{top}{name}": b"not looked at" for name in hidden}
    path = pack(tmp_path / "images.tar", shuffled | extra, mode)
    source = cifar10.read(path)
    assert_same_images(source, by_class(*TRAIN), by_class(*TEST))
    assert source.title == "CIFAR-10 from PNG copies (not checked)"
    assert source.copies == "exact"
    assert source.origin == "images.tar (tar of PNG images)"
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_is_the_same_dataset_as_its_tar_and_has_the_checksum_of_its_list(tmp_path):
    files = image_files(TRAIN, TEST)
    folder = spread(tmp_path / "images", files)
    hidden = ("train/.DS_Store", "train/.cache/x.png", "test/cat/.cache/x.png")
    spread(folder, {"notes.txt": b"words"} | dict.fromkeys(hidden, b"\0"))
    source = cifar10.read(folder)
    assert_same_images(source, by_class(*TRAIN), by_class(*TEST))
    assert source.origin == "images (folder of PNG images)"
    listing = subprocess.run(
        ["sha256sum", *sorted(files)], cwd=folder, stdout=subprocess.PIPE, check=True
    ).stdout
    assert source.sha256 == hashlib.sha256(listing).hexdigest()
    first = next(iter(files))
    (folder / first).write_bytes(encoded(255 - TRAIN[0][0], "PNG"))
    assert cifar10.read(folder).sha256 != source.sha256


def test_jpeg_images_come_out_as_pillow_decodes_them_and_are_called_lossy(tmp_path):
    files = image_files(TRAIN, TEST, "JPEG")
    source = cifar10.read(pack(tmp_path / "images.tar.gz", files))
    assert source.title == "CIFAR-10 from JPEG copies (lossy, not checked)"
    assert source.copies == "lossy"
    decoded = [np.asarray(Image.open(io.BytesIO(content))) for content in files.values()]
    np.testing.assert_array_equal(source.train.pixels, by_class(np.stack(decoded[:50]), TRAIN[1])[0])


def test_one_lossy_image_makes_the_dataset_lossy_and_grey_ones_are_read(tmp_path):
    files = image_files(TRAIN, TEST)
    grey = TRAIN[0][0, ..., 0]
    files["train/airplane/0000.png"] = encoded(grey, "PNG")
    files["test/airplane/0000.png"] = encoded(TEST[0][0], "JPEG")
    source = cifar10.read(pack(tmp_path / "images.tar.gz", files))
    assert source.title == "CIFAR-10 from JPEG and PNG copies (lossy, not checked)"
    assert source.copies == "lossy"
    np.testing.assert_array_equal(source.train.pixels[0], np.stack([grey] * 3, axis=-1))


@functools.cache
def good():
    return image_files(TRAIN, TEST)


def without(part):
    return {name: content for name, content in good().items() if part not in name}


WRONG = [
    (lambda: without("test/frog/"), "no images in test/frog; each of train, test needs the 10 class folders"),
    (lambda: without("test/"), "no images in test/airplane"),
    (lambda: {"a.txt": b"words"}, "no images in train/airplane"),
    (
        lambda: good() | {"train/cat/x.png": encoded(np.zeros((28, 32, 3), np.uint8), "PNG")},
        "train/cat/x.png is 32×28 pixels, and not 32×32",
    ),
    (lambda: good() | {"train/plane/x.png": b""}, "train/plane is no class; the classes are airplane, "),
    (
        lambda: good() | {"test/cat/more/x.png": encoded(TEST[0][0], "PNG")},
        "test/cat/more is no image; take it out",
    ),
    (lambda: good() | {"test/cat/list.txt": b"words"}, "test/cat/list.txt is no PNG or JPEG image (damaged"),
    (
        lambda: good() | {"test/cat/x.jpeg": encoded(TEST[0][0], "JPEG")[:-100]},
        "test/cat/x.jpeg is no PNG or JPEG image (truncated)",
    ),
    (
        lambda: good() | {"test/cat/x.png": encoded(TEST[0][0], "PNG")[:-60]},
        "test/cat/x.png is no PNG or JPEG image (",
    ),
    (
        lambda: good() | {"test/cat/x.png": encoded(np.zeros((32, 32, 4), np.uint8), "PNG")},
        "test/cat/x.png has the colour mode RGBA; convert it to RGB",
    ),
]


@pytest.mark.parametrize("packed", [True, False], ids=["tar", "folder"])
@pytest.mark.parametrize(("files", "line"), WRONG, ids=[line[:30] for _, line in WRONG])
def test_images_that_make_no_sense_are_named(tmp_path, files, line, packed):
    path = tmp_path / "images"
    message = refusal(cifar10.read, (pack if packed else spread)(path, files()))
    assert message.startswith(f"{path}: ")
    assert line in message


def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path):
    """The header of the PNG states 2³⁰ pixels, and the file holds none of them."""
    small = encoded(TEST[0][0], "PNG")
    huge = small[:16] + (2**15).to_bytes(4, "big") * 2 + small[24:]
    crc = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    path = pack(tmp_path / "a.tar", good() | {"test/cat/x.png": huge[:29] + crc + huge[33:]})
    assert "test/cat/x.png is far larger than 32×32 pixels; take it out" in refusal(cifar10.read, path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    path = pack(tmp_path / "images.tar", good(), "w")
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("train/cat/passwd.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert refusal(cifar10.read, path) == (
        f"{path}: train/cat/passwd.png is a link or a device; pack files alone"
    )


def test_a_tar_with_two_datasets_or_a_name_twice_is_refused(tmp_path):
    twice = {f"{top}/{name}": content for top in "ab" for name, content in good().items()}
    message = refusal(cifar10.read, pack(tmp_path / "two.tar", twice, "w"))
    assert "holds several folders 'train'; pack one dataset alone" in message
    path = pack(tmp_path / "images.tar", good(), "w")
    pack(path, {"train/cat/0003.png": good()["train/cat/0003.png"]}, "a")
    assert "holds train/cat/0003.png twice" in refusal(cifar10.read, path)


def test_names_that_lead_out_of_the_tar_write_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    outside = {"../../escaped": b"x", f"{tmp_path}/absolute": b"x", "../train/cat/x.png": b"x"}
    path = pack(tmp_path / "in" / "images.tar", good() | outside)
    assert "holds several folders 'train'" in refusal(cifar10.read, path)
    pack(path, good() | {"../../escaped": b"x", f"{tmp_path}/absolute": b"x"})
    assert_same_images(cifar10.read(path), by_class(*TRAIN), by_class(*TEST))
    assert [found.name for found in tmp_path.rglob("*")] == ["in", "images.tar"]


def test_a_large_file_in_a_tar_is_refused(tmp_path):
    path = pack(tmp_path / "images.tar.gz", {"train/cat/x.png": bytes(2**20 + 1)})
    assert "train/cat/x.png has 1,048,577 bytes, where at most 1,048,576" in refusal(cifar10.read, path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kept", [0, 0.3, 0.7, 0.95])
def test_a_truncated_tar_is_refused(tmp_path, mode, kept):
    path = pack(tmp_path / "images.tar", good(), mode)
    os.truncate(path, int(kept * path.stat().st_size))
    message = refusal(cifar10.read, path)
    assert message.startswith(f"{path} is truncated or no tar archive (") and message.endswith(
        "make it again"
    )


@pytest.mark.parametrize("mode", ["w:xz", "w:bz2"])  # the blocks of these formats have checksums
@pytest.mark.parametrize("place", [0.02, 0.6])
def test_a_tar_with_flipped_bytes_is_refused(tmp_path, mode, place):
    path = pack(tmp_path / "images.tar", good(), mode)
    content = bytearray(path.read_bytes())
    start = int(place * len(content))
    content[start : start + 64] = bytes(255 - byte for byte in content[start : start + 64])
    path.write_bytes(content)
    message = refusal(cifar10.read, path)
    assert message.startswith(f"{path} is truncated or no tar archive (")


def test_a_gzipped_tar_is_compared_with_its_checksum(tmp_path):
    """The checksum lies behind the last image, so a reader that stops there would never compare it."""
    path = pack(tmp_path / "images.tar.gz", good(), "w:gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    assert "CRC check failed" in refusal(cifar10.read, path)


def test_a_missing_source_names_both_remedies(tmp_path):
    message = refusal(cifar10.read, tmp_path / "cifar.tar.gz")
    assert message.startswith(f"{tmp_path}/cifar.tar.gz does not exist; download it with: ")
    assert "datasets.<name>.source" in message


# --------------------------------------------------------------------------------------------------
# Every file becomes RGB without a loss, or is refused
# --------------------------------------------------------------------------------------------------

NOISE = np.random.default_rng(5).integers(0, 256, (32, 32, 3), np.uint8)
PALETTE = np.random.default_rng(6).integers(0, 256, (256, 3), np.uint8)


def packed_bits(values, bits):
    """Pack small numbers (row, column) as a PNG stores them, with the first pixel in the highest bits."""
    digits_ = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(digits_.reshape(len(values), -1), axis=1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("colour", ["grey", "palette"])
def test_images_of_few_bits_become_rgb_as_the_format_says(tmp_path, bits, colour):
    """A grey value v of b bits becomes v × 255 / (2ᵇ − 1); an index becomes its colour in the palette."""
    values = np.random.default_rng(7).integers(0, 2**bits, (32, 32))
    if colour == "grey":
        content = png(packed_bits(values, bits), bits=bits, colour=0)
        expected = np.stack([values * 255 // (2**bits - 1)] * 3, axis=-1)
    else:
        palette = PALETTE[: 2**bits]
        content = png(packed_bits(values, bits), bits=bits, colour=3, before=[(b"PLTE", palette.tobytes())])
        expected = palette[values]
    path = pack(tmp_path / "a.tar", good() | {"train/airplane/0000.png": content})
    source = cifar10.read(path)
    np.testing.assert_array_equal(source.train.pixels[0], expected)
    assert source.copies == "exact"


def test_an_image_in_colour_of_8_bits_is_read_exactly(tmp_path):
    files = good() | {"train/airplane/0000.png": png(NOISE.reshape(32, 96), colour=2)}
    source = cifar10.read(pack(tmp_path / "a.tar", files))
    np.testing.assert_array_equal(source.train.pixels[0], NOISE)


def two(form):
    stream = io.BytesIO()
    first, second = Image.fromarray(NOISE), Image.fromarray(255 - NOISE)
    first.save(stream, form, save_all=True, append_images=[second])
    return stream.getvalue()


def cmyk():
    stream = io.BytesIO()
    Image.fromarray(NOISE).convert("CMYK").save(stream, "JPEG")
    return stream.getvalue()


BYTES = np.random.default_rng(9).integers(0, 256, (32, 32 * 8), np.uint8)
LOSSES = [
    (
        "colour of 16 bits",
        png(BYTES[:, : 32 * 6], bits=16, colour=2),
        "has 16 bits a channel, of which 8 would",
    ),
    (
        "grey of 16 bits",
        png(BYTES[:, : 32 * 2], bits=16, colour=0),
        "has the colour mode I;16; convert it to RGB",
    ),
    ("alpha of 16 bits", png(BYTES, bits=16, colour=6), "has the colour mode RGBA; convert it to RGB"),
    ("grey with alpha", png(BYTES[:, : 32 * 2], colour=4), "has the colour mode LA; convert it to RGB"),
    (
        "a transparent colour",
        png(NOISE.reshape(32, 96), colour=2, before=[(b"tRNS", bytes([0, 1, 0, 2, 0, 3]))]),
        "states transparency, which would be lost; convert it to RGB",
    ),
    (
        "a transparent grey",
        png(BYTES[:, :32], colour=0, before=[(b"tRNS", b"\0\1")]),
        "states transparency, which would be lost; convert it to RGB",
    ),
    (
        "a transparent entry of the palette",
        png(BYTES[:, :32], colour=3, before=[(b"PLTE", PALETTE.tobytes()), (b"tRNS", b"\xff\0")]),
        "states transparency, which would be lost; convert it to RGB",
    ),
    (
        "transparency of a palette, none of which is used",
        png(BYTES[:, :32], colour=3, before=[(b"PLTE", PALETTE.tobytes()), (b"tRNS", b"\xff" * 256)]),
        "states transparency, which would be lost; convert it to RGB",
    ),
    (
        "half-transparent entries of the palette",
        png(BYTES[:, :32], colour=3, before=[(b"PLTE", PALETTE.tobytes()), (b"tRNS", b"\xff\x80\x40")]),
        "states transparency, which would be lost; convert it to RGB",
    ),
    ("an animation", two("PNG"), "holds 2 images, of which all but one would be lost; keep one alone"),
    (
        "two pictures in a JPEG",
        two("MPO"),
        "holds 2 images, of which all but one would be lost; keep one alone",
    ),
    (
        "16 bits behind a text",
        png(BYTES[:, : 32 * 6], bits=16, colour=2, first=[(b"tEXt", b"a\0b")]),
        "is no PNG or JPEG image (damaged",
    ),
    (
        "an index that the palette does not have",
        png(np.full((32, 32), 10, np.uint8), colour=3, before=[(b"PLTE", bytes(30))]),
        "is no PNG or JPEG image (damaged",
    ),
    ("no palette", png(BYTES[:, :32], colour=3), "is no PNG or JPEG image (damaged"),
    ("CMYK", cmyk(), "has the colour mode CMYK; convert it to RGB"),
]


@pytest.mark.parametrize(("content", "line"), [case[1:] for case in LOSSES], ids=[case[0] for case in LOSSES])
def test_what_rgb_of_8_bits_cannot_hold_is_refused(tmp_path, content, line):
    path = pack(tmp_path / "a.tar", good() | {"train/cat/x": content})
    assert refusal(cifar10.read, path).startswith(f"{path}: train/cat/x {line}")


# --------------------------------------------------------------------------------------------------
# Names that are not valid UTF-8
# --------------------------------------------------------------------------------------------------

ODD = b"train/cat/caf\xe9.png"
NAMES = {
    ODD: 1,
    "train/cat/caf\u00e9.png".encode("utf-8"): 2,
    "train/cat/caf\uffee.png".encode("utf-8"): 3,  # EF BF AE, which sorts after the byte E9
    "train/cat/\U0001f408.png".encode("utf-8"): 4,
}


def with_odd_names():
    """Return images by the bytes of their names; the colour of a cat identifies its name."""
    plain = {name.encode("ascii"): content for name, content in good().items() if "/cat/" not in name}
    cats = {b"test/cat/0.png": encoded(NOISE, "PNG")}
    own = {name: encoded(np.full((32, 32, 3), colour, np.uint8), "PNG") for name, colour in NAMES.items()}
    return plain | cats | own


def spread_bytes(folder, files):
    for name, content in files.items():
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(content)
    return folder


def zip_bytes(path, files):
    """Write a zip that holds the bytes of names unchanged and does not state their encoding."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for number, (name, data) in enumerate(files.items()):
            packed.writestr(f"{number:04}".ljust(len(name), "x"), data)
    content = stream.getvalue()
    for number, name in enumerate(files):
        content = content.replace(f"{number:04}".ljust(len(name), "x").encode("ascii"), name)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", ["folder", "tar of pax", "tar of gnu", "zip"])
def test_names_that_are_no_text_are_read_in_the_order_of_their_bytes(tmp_path, form):
    files = with_odd_names()
    folder = spread_bytes(tmp_path / "images", files)
    path = folder
    if form.startswith("tar"):
        path = tmp_path / "images.tar"
        with tarfile.open(
            path, "w", format=tarfile.PAX_FORMAT if form.endswith("pax") else tarfile.GNU_FORMAT
        ) as packed:
            packed.add(folder, "images")
    if form == "zip":
        path = zip_bytes(tmp_path / "images.zip", files)
    source = cifar10.read(path)
    cats = source.train.pixels[source.train.labels == 3][:, 0, 0, 0]
    assert cats.tolist() == [NAMES[name] for name in sorted(NAMES)]
    if form == "folder":
        # `LC_ALL=C sort` sorts bytes.
        listing = (
            "find train test -type f -printf '%p\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
        )
        shown = subprocess.run(["sh", "-c", listing], cwd=folder, stdout=subprocess.PIPE, check=True).stdout
        assert source.sha256 == shown.split()[0].decode("ascii")


def test_names_in_a_zip_that_are_marked_as_text_are_read_as_such(tmp_path):
    text = {name.decode("utf-8"): content for name, content in with_odd_names().items() if name != ODD}
    folder = spread(tmp_path / "images", text)
    marked, plain = cifar10.read(pack_zip(tmp_path / "a.zip", text)), cifar10.read(folder)
    assert_same_images(marked, plain.train, plain.validation)


@pytest.mark.parametrize("form", ["folder", "tar", "zip"])
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"train/cat/caf\xe9.png", "train/cat/caf\\xe9.png"),
        (b"train/cat/a\nb\x1b[1m.png", "train/cat/a\\nb\\x1b[1m.png"),
        ("train/cat/caf\u00e9.png".encode("utf-8"), "train/cat/caf\u00e9.png"),
    ],
)
def test_errors_show_any_name_in_one_line_of_text(tmp_path, form, name, shown):
    folder = spread_bytes(tmp_path / "images", {name: b"words"})
    path = folder
    if form == "tar":
        path = tmp_path / "images.tar"
        with tarfile.open(path, "w") as packed:
            packed.add(folder, "")
    if form == "zip":
        path = zip_bytes(tmp_path / "images.zip", {name: b"words"})
    message = refusal(cifar10.read, path)
    assert message.startswith(f"{path}: {shown} is no PNG or JPEG image (")
    assert message.encode("utf-8").decode("utf-8") == message


# --------------------------------------------------------------------------------------------------
# Zip archives
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
@pytest.mark.parametrize("top", ["", "cifar/"])
def test_a_zip_a_tar_and_a_folder_of_the_same_images_are_the_same_dataset(tmp_path, method, top):
    files = {f"{top}{name}": content for name, content in good().items()}
    shuffled = dict(sorted(files.items(), key=lambda item: hashlib.sha256(item[0].encode("utf-8")).digest()))
    extra = {f"{top}README.md": b"words", "__MACOSX/._x.png": b"words", f"{top}train/cat/": b""}
    path = pack_zip(tmp_path / "images", shuffled | extra, method)
    source = cifar10.read(path)
    for other in (spread(tmp_path / "folder", good()), pack(tmp_path / "images.tar.gz", good())):
        expected = cifar10.read(other)
        assert_same_images(source, expected.train, expected.validation)
        assert (
            source._replace(
                origin=expected.origin,
                sha256=expected.sha256,
                train=expected.train,
                validation=expected.validation,
            )
            == expected
        )
    assert source.origin == "images (zip of PNG images)"
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("files", "line"), WRONG, ids=[line[:30] for _, line in WRONG])
def test_images_in_a_zip_that_make_no_sense_are_named(tmp_path, files, line):
    path = pack_zip(tmp_path / "images.zip", files())
    message = refusal(cifar10.read, path)
    assert message.startswith(f"{path}: ") and line in message


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, kind):
    path = pack_zip(tmp_path / "images.zip", good())
    member = zipfile.ZipInfo("train/cat/passwd.png")
    member.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(member, "/etc/passwd")
    assert refusal(cifar10.read, path) == (
        f"{path}: train/cat/passwd.png is a link or a device; pack files alone"
    )


def test_an_encrypted_file_in_a_zip_is_refused(tmp_path):
    path = pack_zip(tmp_path / "images.zip", {"train/cat/x.png": b"secret"})
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[6] |= 1  # flags in front of the file; those in the list of files follow
    content[entry + 8] |= 1
    path.write_bytes(content)
    with zipfile.ZipFile(path) as packed, pytest.raises(RuntimeError, match="encrypted"):
        packed.read("train/cat/x.png")
    assert refusal(cifar10.read, path) == (
        f"{path}: train/cat/x.png is encrypted; pack it without a password"
    )


def test_a_large_file_in_a_zip_is_refused_before_it_is_unpacked(tmp_path):
    path = pack_zip(tmp_path / "images.zip", {"train/cat/x.png": bytes(2**20 + 1)})
    assert "train/cat/x.png has 1,048,577 bytes, where at most 1,048,576" in refusal(cifar10.read, path)
    # If the stated size is too small, no more is read than stated, and then the checksum is wrong.
    content = path.read_bytes().replace((2**20 + 1).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    path.write_bytes(content)
    assert refusal(cifar10.read, path).startswith(f"{path} is truncated or no zip archive (Bad CRC-32")


def test_a_zip_of_an_unknown_compression_is_refused(tmp_path):
    path = pack_zip(tmp_path / "images.zip", {"train/cat/x.png": b"words"})
    content = bytearray(path.read_bytes())
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 97
    path.write_bytes(content)
    message = refusal(cifar10.read, path)
    assert (
        message.startswith(f"{path} uses a compression that cannot be read here (")
        and "compression" in message
    )


@pytest.mark.parametrize("kept", [0.001, 0.3, 0.7, 0.999])
def test_a_truncated_zip_is_refused(tmp_path, kept):
    path = pack_zip(tmp_path / "images.zip", good())
    os.truncate(path, max(4, int(kept * path.stat().st_size)))
    message = refusal(cifar10.read, path)
    assert message.startswith(f"{path} is truncated or no zip archive (")
    assert message.endswith("fetch or make it again")


def test_an_empty_zip_has_no_images(tmp_path):
    assert "no images in train/airplane" in refusal(cifar10.read, pack_zip(tmp_path / "a.zip", {}))


@pytest.mark.parametrize("packer", [pack, pack_zip])
def test_damage_anywhere_is_one_line_or_none(tmp_path, packer):
    """Whatever byte is changed or cut off, the only exception that is raised is `UserError`."""
    path = packer(tmp_path / "images", {f"train/cat/\u00e9{number}.png": bytes(60) for number in range(3)})
    content, generator = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(400):
        damaged = bytearray(content)
        damaged[generator.integers(len(damaged))] = generator.integers(256)
        path.write_bytes(damaged[: generator.integers(len(damaged))] if generator.random() < 0.3 else damaged)
        try:
            list(archive.members(path, 100))
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 200
    assert not [line for line in refused if "\n" in line]


def test_a_zip_with_the_folder_of_an_official_archive_is_refused_as_such(tmp_path):
    path = pack_zip(tmp_path / "mine.zip", python_files(TRAIN, TEST))
    assert refusal(cifar10.read, path).startswith(f"{path} is not the official file: SHA-256 ")


# --------------------------------------------------------------------------------------------------
# Failures of the system
# --------------------------------------------------------------------------------------------------

SICK = "cannot be read (Input/output error); mend its permissions, or the disk or network behind it"


@pytest.fixture
def sick(tmp_path):
    """File that exists and cannot be read: the memory of a process has nothing at its first address."""
    path = tmp_path / "sick"
    path.symlink_to("/proc/self/mem")
    return path


def test_an_error_of_the_disk_is_not_blamed_on_what_a_file_holds(sick, tmp_path):
    for read in (cifar10.read, fashion_mnist.read, cifar10_python.read):
        assert refusal(read, sick) == f"{sick} {SICK}"


def test_an_error_of_the_disk_in_a_folder_names_the_file(sick, tmp_path):
    folder = spread(tmp_path / "images", good())
    file = folder / "train/cat/x.png"
    file.symlink_to(sick)
    assert refusal(cifar10.read, folder) == f"{file} {SICK}"
    folder = fashion(tmp_path / "fashion", grey(30, 3), grey(10, 4))
    file = folder / "t10k-images-idx3-ubyte.gz"
    file.unlink()
    file.symlink_to(sick)
    assert refusal(fashion_mnist.read, folder, "noise") == f"{file} {SICK}"


def test_a_file_without_permission_is_told_as_such(tmp_path, forbidden):
    path = forbidden(pack(tmp_path / "images.tar", good()))
    remedy = "mend its permissions, or the disk or network behind it"
    line = f"{path} cannot be read (Permission denied); {remedy}"
    assert refusal(cifar10.read, path) == line
    assert refusal(fashion_mnist.read, path) == line
    remote = Remote("http://127.0.0.1:9/", 1, "0" * 64)
    options = {"advice": "", "progress": print, "timeout_seconds": 1}
    assert refusal(fetch, remote, path, **options) == line


@pytest.fixture
def forbidden(tmp_path):
    """Function that takes away the permission to read a file; root, who may read all, becomes nobody."""
    root = os.geteuid() == 0

    def forbid(path):
        path.chmod(0)
        if root:
            for folder in (tmp_path, *tmp_path.parents[:3]):
                modes[folder] = folder.stat().st_mode
                folder.chmod(modes[folder] | 0o011)
            os.seteuid(65534)
        return path

    modes = {}
    yield forbid
    if root:
        os.seteuid(0)
        for folder, mode in modes.items():
            folder.chmod(mode)


def test_a_lack_of_memory_is_not_blamed_on_a_file():
    """The pickle asks for an array of 2⁶⁰ bytes, which is more than any address space has."""
    shape = b"\x8a\x08" + (2**60).to_bytes(8, "little") + b"\x85"
    content = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + shape + b"U\x01b\x87R."
    with pytest.raises(MemoryError):
        cifar10_python._batch("a batch", content)


# --------------------------------------------------------------------------------------------------
# Fashion-MNIST
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [True, False])
def test_idx_files_give_their_images(tmp_path, compressed):
    train, test = grey(30, 3), grey(10, 4)
    source = fashion_mnist.read(fashion(tmp_path / "fashion", train, test, compressed), "noise")
    assert_same_images(source, (train[0][..., None], train[1]), (test[0][..., None], test[1]))
    assert source.origin == "fashion (folder of IDX files)"
    listing = subprocess.run(
        ["sha256sum", *sorted(os.listdir(tmp_path / "fashion"))],
        cwd=tmp_path / "fashion",
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    assert source.sha256 == hashlib.sha256(listing).hexdigest()


def known(folder):
    """Return checksums by name, as if the files of this folder were the official ones."""
    return {
        path.name.removesuffix(".gz"): hashlib.sha256(
            gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        ).hexdigest()
        for path in folder.iterdir()
    }


def test_official_content_is_fashion_mnist_however_it_is_compressed(tmp_path):
    train, test = grey(30, 3), grey(10, 4)
    plain = fashion(tmp_path / "plain", train, test, compressed=False)
    official = known(plain)
    for folder in (plain, fashion(tmp_path / "packed", train, test)):
        source = fashion_mnist.read(folder, official=official)
        assert source.dataset == source.title == "Fashion-MNIST"
        assert source.split.startswith("official")
        assert source.class_names[:2] == ("T-shirt/top", "Trouser")
        assert refusal(fashion_mnist.read, folder, "noise", official) == (
            f"datasets.<name>.title: {folder} holds Fashion-MNIST, not noise; leave title out"
        )


@pytest.mark.parametrize("name", sorted(FASHION_MNIST_SHA256))
def test_one_other_file_of_the_same_shape_is_not_fashion_mnists(tmp_path, name):
    train, test = grey(30, 3), grey(10, 4)
    folder = fashion(tmp_path / "fashion", train, test)
    official = known(folder)
    path = folder / f"{name}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[-1] ^= 1
    path.write_bytes(gzip.compress(content))
    assert refusal(fashion_mnist.read, folder, None, official) == (
        f"{path} is not the official file of Fashion-MNIST: SHA-256 {official[name]} of its unpacked content "
        f"expected, {hashlib.sha256(content).hexdigest()} found; fetch it again, or say in "
        "datasets.<name>.title what the images are"
    )
    source = fashion_mnist.read(folder, "noise", official)
    assert source.dataset == source.title == "noise"
    assert source.class_names == tuple("0123456789")
    assert source.split == "as the source parts them, which was compared with no official split"


INSTALLED = FashionMnistSettings(kind="fashion_mnist").location


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_files_that_debian_packs_are_the_official_ones():
    source = fashion_mnist.read(INSTALLED)
    assert source.title == "Fashion-MNIST"
    for images, count in ((source.train, 6_000), (source.validation, 1_000)):
        np.testing.assert_array_equal(np.bincount(images.labels), np.full(10, count))


PACKERS = [pytest.param(pack, "tar", id="tar"), pytest.param(pack_zip, "zip", id="zip")]


@pytest.mark.parametrize(("packer", "kind"), PACKERS)
@pytest.mark.parametrize("top", ["", "data/fashion/"])
def test_packed_idx_files_are_the_same_as_their_folder(tmp_path, packer, kind, top):
    folder = fashion(tmp_path / "fashion", grey(30, 3), grey(10, 4))
    fashion(
        folder, grey(30, 5), grey(10, 6), compressed=False
    )  # these take precedence over the compressed ones
    files = {f"{top}{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}
    path = packer(tmp_path / "packed", files | {"README.md": b"words"})
    source, expected = fashion_mnist.read(path, "noise"), fashion_mnist.read(folder, "noise")
    assert_same_images(source, expected.train, expected.validation)
    np.testing.assert_array_equal(expected.train.pixels[..., 0], grey(30, 5)[0])
    assert source.origin == f"packed ({kind} of IDX files)"
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    twice = files | {"other/t10k-labels-idx1-ubyte": b""}
    assert refusal(fashion_mnist.read, packer(path, twice), "noise") == (
        f"{path} holds t10k-labels-idx1-ubyte twice; pack one dataset alone"
    )


def test_a_damaged_idx_file_in_a_zip_is_named(tmp_path):
    folder = fashion(tmp_path / "fashion", grey(30, 3), grey(10, 4))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    short = files | {"t10k-images-idx3-ubyte.gz": files["t10k-images-idx3-ubyte.gz"][:-9]}
    path = pack_zip(tmp_path / "a.zip", short)
    message = refusal(fashion_mnist.read, path, "noise")
    assert message.startswith(f"{path}: t10k-images-idx3-ubyte.gz is damaged (")
    del files["t10k-images-idx3-ubyte.gz"]
    message = refusal(fashion_mnist.read, pack_zip(path, files), "noise")
    assert message.startswith(f"{path} holds no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz; ")


IMAGES, LABELS = grey(10, 4)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("images-idx3", idx(LABELS), "is no IDX file of images: it begins with 00000801 and not 00000803"),
        ("labels-idx1", idx(IMAGES), "is no IDX file of labels: it begins with 00000803 and not 00000801"),
        ("labels-idx1", b"", "is no IDX file of labels: it begins with nothing"),
        ("images-idx3", idx(IMAGES)[:9], "holds images of 0×0, and not 28×28"),
        ("images-idx3", idx(IMAGES[:, :27]), "holds images of 27×28, and not 28×28"),
        ("images-idx3", idx(IMAGES)[:-1], "has 7,855 bytes, and its header says 7,856"),
        ("images-idx3", idx(IMAGES) + b"x", "has 7,857 bytes, and its header says 7,856"),
        ("images-idx3", idx(IMAGES[:9]), "t10k has 9 images and 10 labels"),
        ("labels-idx1", idx(LABELS + 1), "label 10 is not one of 0 to 9"),
    ],
)
@pytest.mark.parametrize("compressed", [True, False])
def test_idx_files_that_make_no_sense_are_refused(tmp_path, name, content, line, compressed):
    folder = fashion(tmp_path / "fashion", grey(30, 3), (IMAGES, LABELS), compressed)
    path = folder / f"t10k-{name}-ubyte{'.gz' if compressed else ''}"
    path.write_bytes(gzip.compress(content) if compressed else content)
    assert line in refusal(fashion_mnist.read, folder)


def test_a_missing_or_damaged_idx_file_is_named(tmp_path):
    folder = fashion(tmp_path / "fashion", grey(30, 3), (IMAGES, LABELS))
    path = folder / "t10k-images-idx3-ubyte.gz"
    os.truncate(path, path.stat().st_size // 2)
    assert refusal(fashion_mnist.read, folder).startswith(f"{path} is damaged (")
    path.write_bytes(b"words")
    assert refusal(fashion_mnist.read, folder).startswith(f"{path} is damaged (Not a gzipped file")
    path.unlink()
    message = refusal(fashion_mnist.read, folder)
    assert message.startswith(f"{folder} holds no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz; ")
    assert "dataset-fashion-mnist" in message and "datasets.<name>.source" in message


# --------------------------------------------------------------------------------------------------
# Digits
# --------------------------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn_each_once():
    source = digits.read(297, 0)
    pixels = np.concatenate([source.train.pixels, source.validation.pixels])
    labels = np.concatenate([source.train.labels, source.validation.labels])
    assert (len(source.train.labels), len(source.validation.labels)) == (1500, 297)
    original = load_digits()
    # Intensities 0 … 16 become 0 … 255: 16 becomes 255 (white), and 1 becomes 15.9, which is rounded to 16.
    expected = np.array([0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255])
    expected = expected[original.images.astype(int)]

    def rows(images, classes):
        return sorted(
            zip(map(bytes, images.reshape(1797, -1).astype(np.uint8)), classes.tolist(), strict=True)
        )

    assert rows(pixels, labels) == rows(expected, original.target)


def test_digits_are_set_apart_evenly_and_by_seed():
    first, second = digits.read(297, 0), digits.read(297, 1)
    for source in (first, second):
        assert set(np.bincount(source.validation.labels)) == {29, 30}
    assert not np.array_equal(first.validation.pixels, second.validation.pixels)
    assert first.sha256 == second.sha256
    np.testing.assert_array_equal(first.train.pixels, digits.read(297, 0).train.pixels)
