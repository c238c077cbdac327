"""Files that the programs look for before they would download them. All from fixed seeds.

usage: synthetic.py FOLDER    pictures of two classes
"""
import pathlib
import random
import struct
import sys

WORDS = "the a quick brown fox jumps over lazy dog and then some more words to read again in this text".split()


def _idx(path, array):
    """MNIST's format: type 8 (bytes), rank, sizes, data."""
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def mnist(folder):
    """Ten pictures, each with noise, that a network can learn."""
    import numpy as np
    rng = np.random.default_rng(0)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pictures = (rng.random((10, 28, 28)) > 0.8) * 200
    for name, count in (("train", 2000), ("t10k", 500)):
        labels = rng.integers(0, 10, count, dtype="u1")
        _idx(raw / f"{name}-images-idx3-ubyte", (pictures[labels] + rng.integers(0, 40, (count, 28, 28))).astype("u1"))
        _idx(raw / f"{name}-labels-idx1-ubyte", labels)


def text(path, lines):
    rng = random.Random(str(path.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(" ".join(rng.choices(WORDS, k=8)) + " .\n" for _ in range(lines)))


def pictures(folder):
    """Two classes of eight JPEG files each, to train and to validate."""
    import numpy as np
    from PIL import Image
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for c in ("c0", "c1"):
            (folder / part / c).mkdir(parents=True)
            for i in range(8):
                Image.fromarray(rng.integers(0, 255, (256, 256, 3), dtype="u1")).save(folder / part / c / f"{i}.jpg")


def questions(folder):
    rng = random.Random(0)
    folder.mkdir(parents=True)
    rows = (f"{' '.join(rng.choices(WORDS, k=6))},{' '.join(rng.choices(WORDS, k=6))}\n" for _ in range(200))
    (folder / "train.csv").write_text("instruction,response\n" + "".join(rows))


if __name__ == "__main__":
    pictures(pathlib.Path(sys.argv[1]))
