"""torchvision's compiled part wants CUDA and does not load beside a CPU PyTorch; its Python part does, once the two
operators that it describes to PyTorch have a schema. On PYTHONPATH of the programs that need torchvision."""
import sys


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torchvision._meta_registrations":  # torch is imported, the compiled part was tried
            import torch
            for op in ("nms", "qnms"):
                if not hasattr(torch.ops.torchvision, op):
                    torch.library.define(f"torchvision::{op}", "(Tensor boxes, Tensor scores, float threshold) -> Tensor")


sys.meta_path.insert(0, Finder)
