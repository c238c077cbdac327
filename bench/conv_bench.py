"""One convolution, forward and both gradients: moai against local PyTorch eager, interleaved as in step_bench.py.

usage: conv_bench.py [--cores 0] [--rounds 5] [--precision f32] [--shapes NxCxSIZExOUTPUTSxKERNELxSTRIDExPADDINGxGROUPS,...]
"""
import argparse
import math

import step_bench

SHAPES = [
    "64x1x28x32x3x1x0x1", "64x32x26x64x3x1x0x1", "16x16x16x16x3x1x1x1", "16x16x16x32x3x2x1x1", "16x64x4x64x3x1x1x1",
    "4x64x56x64x3x1x1x1", "4x64x56x64x1x1x0x1", "4x256x14x256x3x1x1x1", "4x512x7x512x3x1x1x1", "4x3x224x64x7x2x3x1",
    "8x256x28x512x1x2x0x1", "8x64x56x64x3x1x1x64", "8x128x28x128x3x1x1x32",
]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--cores", default="0")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--precision", default="f32")
    p.add_argument("--shapes", default=",".join(SHAPES))
    args = p.parse_args()
    ratios = []
    for shape in args.shapes.split(","):
        row = step_bench.measure("conv:" + shape, args.precision, args.cores, args.rounds)
        ratios.append(row["ratio"])
        print(f"{shape:24} {row['eager_ms']:8.2f} ms {row['moai_ms']:8.2f} ms   {row['ratio']:.2f}x", flush=True)
    print(f"geometric mean {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}x, lowest {min(ratios):.2f}x")


if __name__ == "__main__":
    main()
