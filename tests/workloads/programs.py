"""Programs that nobody here wrote: how each is run, on the accelerator and on the CPU, and what it must print."""
import dataclasses
import pathlib
import re
import typing

import synthetic


@dataclasses.dataclass
class Program:
    name: str
    clone: str                   # repository's name under MOAI_WORKLOADS; "" for a program of this folder
    folder: str = "."            # where it is run, in the clone
    packages: tuple = ()
    prepare: typing.Callable = lambda place, python: None
    device: tuple = ()           # command lines, run one after the other
    cpu: tuple = ()
    rule: str = "equal"          # equal: prints what the CPU prints; repeat: the same twice; runs: ends well
    pattern: str = r"loss\S*\s+\|?\s*([\d.]+)"  # what is compared; groups are numbers or texts
    tolerance: float = 2e-4
    falls: bool = False          # the last number is below the first
    path: tuple = ()             # added to PYTHONPATH, from the folder
    extra: typing.Callable = lambda output: None

    def values(self, output):
        return re.findall(self.pattern, output, re.MULTILINE)


def accuracy_of_mnist(output):
    found = int(re.findall(r"\((\d+)%\)", output)[-1])
    assert found >= 99, f"accuracy {found} %"


def mnist_beside(place, python):
    synthetic.mnist(place.parent / "data")


def wikitext(place, python):
    for name, lines in (("train", 700), ("valid", 100), ("test", 100)):
        synthetic.text(place / "data" / "wikitext-2" / f"{name}.txt", lines)


def shakespeare(place, python):
    synthetic.text(place / "data" / "shakespeare_char" / "input.txt", 20000)
    python("data/shakespeare_char/prepare.py")


def two_classes(place, python):
    python(str(HERE / "synthetic.py"), "sample")  # needs packages that only the programs need


def llama_and_questions(place, python):
    synthetic.questions(place / "questions")
    python(str(HERE / "tiny_llama.py"), "llama")


VISION = ("torchvision", "PIL")
HERE = pathlib.Path(__file__).resolve().parent
GPT = ("train.py config/train_shakespeare_char.py --compile=False --eval_iters=2 --log_interval=1 --block_size=64 --batch_size=12 "
       "--n_layer=4 --n_head=4 --n_embd=128 --lr_decay_iters=20 --eval_interval=10 --dropout=0.0")
LLM = "train_llm.py --model llama --dataset questions --train-batch-size 4 --sequence-length 64 --max-steps 20 --log-interval 2 --lr 0.01"
TIMM = ("benchmark.py --device DEVICE --batch-size 2 --num-warm-iter 1 --num-bench-iter 5 --bench {} --model {} --img-size {}")


def language_model(kind, rule="equal"):
    train = f"main.py --epochs 1 --dry-run --model {kind} --emsize 64 --nhid 64 --dropout 0"
    return Program(f"word_language_model {kind}", "examples", "word_language_model", prepare=wikitext, rule=rule,
                   device=(f"{train} --accel", "generate.py --accel --words 20 --outf out.txt", "-c print(open('out.txt').read())"),
                   cpu=(train, "generate.py --words 20 --outf out.txt", "-c print(open('out.txt').read())"),
                   pattern=r"test loss\s+([\d.]+)|^((?:[a-z.<>]+ ?)+)$")


def gpt(dtype, rule):
    first, then = f"{GPT} --max_iters=20 --dtype={dtype}", f"{GPT} --max_iters=30 --init_from=resume --dtype={dtype}"
    return Program(f"nanoGPT {dtype}", "nanoGPT", packages=("requests",), prepare=shakespeare, rule=rule, falls=True,
                   device=(f"{first} --device=cuda", f"{then} --device=cuda"), cpu=(f"{first} --device=cpu", f"{then} --device=cpu"),
                   pattern=r"loss ([\d.]+)")


def makemore(kind):
    line = f"makemore.py --device DEVICE --max-steps 60 -n 0 --type {kind} -o out"
    return Program(f"makemore {kind}", "makemore", packages=("tensorboard",), device=(line,), cpu=(line,), pattern=r"loss ([\d.]+)")


PROGRAMS = [
    Program("mnist", "examples", "mnist", VISION, mnist_beside, ("main.py --epochs 1",), ("main.py --epochs 1 --no-accel",),
            "repeat", r"(?:Loss|loss): ([\d.]+)", falls=True, extra=accuracy_of_mnist),
    Program("vae", "examples", "vae", VISION, mnist_beside, ("main.py --epochs 1",), ("main.py --epochs 1 --no-accel",),
            "repeat", r"(?:Loss|loss): ([\d.]+)", falls=True),
    Program("mnist_rnn", "examples", "mnist_rnn", VISION, mnist_beside, ("main.py --epochs 1 --dry-run --accel",),
            ("main.py --epochs 1 --dry-run",), "repeat", r"(?:Loss|loss): ([\d.]+)"),
    *map(language_model, ("LSTM", "GRU", "RNN_TANH")),
    language_model("Transformer", "repeat"),  # its layers keep PyTorch's default dropout of 0.1
    Program("dcgan", "examples", "dcgan", VISION, rule="repeat", pattern=r"Loss_\w: ([\d.]+)",
            device=("main.py --dataset fake --accel --dry-run --workers 0 --batchSize 8 --niter 1 --manualSeed 0 --outf .",),
            cpu=("main.py --dataset fake --dry-run --workers 0 --batchSize 8 --niter 1 --manualSeed 0 --outf .",)),
    Program("imagenet", "examples", "imagenet", VISION, two_classes,
            ("main.py -a resnet18 --epochs 1 -b 8 -j 0 -p 1 --seed 0 --lr 0.001 --gpu 0 sample/",),
            ("main.py -a resnet18 --epochs 1 -b 8 -j 0 -p 1 --seed 0 --lr 0.001 sample/",), pattern=r"Loss ([\d.e+-]+)", tolerance=2e-3),
    Program("imagenet DataParallel", "examples", "imagenet", VISION, two_classes,
            ("main.py -a resnet18 --epochs 1 -b 8 -j 0 -p 1 --seed 0 --lr 0.001 sample/",),
            ("main.py -a resnet18 --epochs 1 -b 8 -j 0 -p 1 --seed 0 --lr 0.001 sample/",), pattern=r"Loss ([\d.e+-]+)", tolerance=2e-3),
    gpt("float32", "equal"), gpt("bfloat16", "repeat"), gpt("float16", "repeat"),
    Program("minGPT adder", "minGPT", "projects/adder", path=("../..",), pattern=r"train loss ([\d.]+)|(score: .*)",
            device=("adder.py --trainer.max_iters=20 --trainer.num_workers=0 --model.embd_pdrop=0.0 --model.resid_pdrop=0.0 "
                    "--model.attn_pdrop=0.0",),
            cpu=("adder.py --trainer.max_iters=20 --trainer.num_workers=0 --model.embd_pdrop=0.0 --model.resid_pdrop=0.0 "
                 "--model.attn_pdrop=0.0 --trainer.device=cpu",)),
    *map(makemore, ("transformer", "gru", "rnn", "mlp", "bow", "bigram")),
    Program("quickstart Llama", "quickstart", packages=("transformers", "accelerate", "datasets", "peft", "loguru"),
            prepare=llama_and_questions, device=(LLM,), cpu=(LLM,), pattern=r"'loss': '?([\d.]+)", falls=True, tolerance=2e-3),
    Program("quickstart Llama LoRA", "quickstart", packages=("transformers", "accelerate", "datasets", "peft", "loguru"),
            prepare=llama_and_questions, device=(f"{LLM} --lora",), cpu=(f"{LLM} --lora",), rule="runs",
            pattern=r"'loss': '?([\d.]+)", falls=True),
    Program("quickstart accelerate", "quickstart", packages=("transformers", "accelerate", "datasets", "peft", "loguru"),
            prepare=llama_and_questions, device=(f"-m accelerate.commands.launch --config_file config.yaml {LLM}",),
            cpu=(LLM,), pattern=r"'loss': '?([\d.]+)", falls=True, tolerance=2e-3),
    Program("quickstart inference", "quickstart", packages=("transformers", "accelerate", "datasets", "peft", "loguru"),
            prepare=llama_and_questions, device=("inference_llm.py --model-name-or-path llama",), rule="runs", pattern=r"(\d+)"),
    Program("quickstart mnist", "quickstart", packages=VISION, prepare=lambda place, python: synthetic.mnist(place / "data"),
            device=("moai-example/mnist.py --epochs 1",), cpu=("moai-example/mnist.py --epochs 1 --no-cuda",), rule="repeat",
            pattern=r"(?:Loss|loss): ([\d.]+)", falls=True),
    Program("timm", "pytorch-image-models", path=(".",), packages=(*VISION, "yaml", "huggingface_hub", "safetensors"), rule="runs",
            device=tuple(TIMM.format(bench, model, size) for bench, model, size in (
                ("train", "resnet18", 64), ("train", "convnext_atto", 64), ("train", "efficientnet_b0", 64),
                ("train", "vit_tiny_patch16_224", 224), ("infer", "resnet18", 64))), pattern=r"samples_per_sec\": ([\d.]+)"),
    Program("libraries", "", packages=("transformers", "accelerate", "safetensors", "torchmetrics"),
            device=(f"{HERE / 'libraries.py'} DEVICE",), cpu=(f"{HERE / 'libraries.py'} DEVICE",), pattern=r"loss ([\d.]+)|(after .*)",
            tolerance=1e-3),
    Program("lightning", "", packages=("lightning", *VISION), device=(f"{HERE / 'lightning_model.py'} DEVICE",),
            cpu=(f"{HERE / 'lightning_model.py'} DEVICE",), pattern=r"loss ([\d.]+)", falls=True, tolerance=1e-3),
    Program("notebook", "", packages=("ipykernel", "jupyter_client"), device=(f"{HERE / 'notebook.py'} DEVICE",),
            cpu=(f"{HERE / 'notebook.py'} DEVICE",), pattern=r"^\('(?:loss )?([\d.]+)|^(\w+Error|KeyboardInterrupt)$"),
    Program("language models", "", packages=("transformers",), device=(f"{HERE / 'language_models.py'} DEVICE",),
            cpu=(f"{HERE / 'language_models.py'} DEVICE",), pattern=r"loss ([\d.]+)|(greedy .*)"),
]
