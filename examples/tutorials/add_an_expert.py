"""Add an expert of your own to a trained model: one that reads QR codes and barcodes.

python examples/tutorials/add_an_expert.py [MODEL [COUNT]]
"""

# %% [markdown]
# # Add an expert
#
# nano can't read QR codes. You add an expert that can, and nano answers what is in them: at once,
# without training. Reading: seven minutes. Running: a few minutes on two cores.
#
# `pip install zxing-cpp` first; it finds and reads the codes. Any vision model of transformers, any
# ONNX graph, or a class with two methods takes its place: [Experts](../../docs/experts.md). The
# script `examples/tutorials/add_an_expert.py` runs as a whole.

# %%
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml
import zxingcpp
from PIL import Image

from openmova import Mova

EXAMPLES = Path(__file__).resolve().parents[1]
MODEL = sys.argv[1] if len(sys.argv) > 1 else "nano"
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 12
os.chdir(tempfile.mkdtemp(prefix="add-an-expert-"))
print("working in", Path.cwd())


def run(command: str) -> None:
    print("$", command)
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True)


# %% [markdown]
# ## An expert as a package
#
# The folder `code_reader` beside this file is a package of thirty lines. Its class makes a view of
# the picture and says in words what it sees in it; the entry point in its `pyproject.toml` tells
# openmova that there is a kind `codes`.

# %%
shutil.copytree(EXAMPLES / "tutorials" / "code_reader", "code_reader")
print(Path("code_reader/code_reader.py").read_text(encoding="utf-8"))
run("pip install --quiet --no-deps --target packages ./code_reader")
sys.path.insert(0, "packages")
os.environ["PYTHONPATH"] = os.path.abspath("packages")

# %% [markdown]
# ## Add it
#
# The descriptions are what the router reads: what the expert is good at, in the words of likely
# questions. `rows` is where on the map its words stand; these are the rows of nano's `location`,
# which is not asked together with it. All other weights are copied, so a routing without the new
# expert gives the same answers.

# %%
MORE = [
    "This model reads QR codes and barcodes.",
    "This model knows what a barcode or a QR code says, and where it leads.",
]
height, _ = Mova.from_pretrained(MODEL).model.config.adapter.grid
spec = {"kind": "codes", "rows": [height - 2, height], "descriptions": MORE}
Path("codes.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
ABOUT = "This model reads barcodes and QR codes: what the code says."
run(f"openmova add-expert {MODEL} codes.yaml -o grown --description '{ABOUT}'")
run("openmova experts --model grown")

# %% [markdown]
# ## Before and after
#
# Photos with a code that holds two random words and a number.

# %%
draw = random.Random(0)
PHOTOS = ["dog.jpg", "coffee.jpg", "pagoda.jpg", "rocket.jpg", "walk.jpg"]
QUESTIONS = ["What does the QR code say?", "Read the QR code.", "What text does the code hold?"]
WORDS = ["apple", "river", "Anna", "Berlin", "ticket", "order", "gate", "lamp", "coffee", "Oslo"]


def photo_with_code(text: str) -> Image.Image:
    """A code of a third of the photo's height, turned a little."""
    photo = Image.open(EXAMPLES / draw.choice(PHOTOS)).convert("RGB")
    made = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode).to_image(scale=4)
    code = Image.fromarray(np.pad(np.array(made), 16, constant_values=255))
    side = min(photo.size) // 3
    code = code.resize((side, side)).rotate(draw.uniform(-15, 15), expand=True, fillcolor=255)
    photo.paste(code, (draw.randrange(side), draw.randrange(side)))
    return photo


texts = [f"{' '.join(draw.sample(WORDS, 2))} {draw.randrange(1000)}" for _ in range(COUNT)]
asked = [(photo_with_code(text), draw.choice(QUESTIONS), text) for text in texts]
for model in (MODEL, "grown"):
    mova = Mova.from_pretrained(model)
    right, chosen = 0, 0
    for photo, question, text in asked:
        answer = mova.ask(photo, question, max_new_tokens=24)
        right += text.lower() in answer.text.lower()
        chosen += "codes" in answer.routing.experts
    print(f"{model}: {right} of {COUNT} right, the new expert chosen {chosen} times")

# %% [markdown]
# ## Where to go on
#
# - The router chooses the new expert by its descriptions alone. `--data FILE` trains it on samples
#   with an `experts` list, and what the adapter reads of an expert whose map is not in words:
#   [Experts](../../docs/experts.md#add-it-to-a-trained-model).
# - Find the `experts` lists instead of writing them: [Annotate and train a
#   router](train_a_router.py).
