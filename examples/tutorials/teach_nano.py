"""Teach nano the names of your own things, from a folder of pictures.

python examples/tutorials/teach_nano.py [MODEL [PICTURES]]
"""

# %% [markdown]
# # Teach nano yours
#
# Nano names what it knows. You teach it three names that it does not know, of a dozen pictures
# each, and ask about a picture that it never saw. Reading: five minutes. Running: some minutes on
# two cores.
#
# The things of this tutorial are emblems of three companies that do not exist, drawn on photos, so
# that nothing has to be downloaded. Take a folder of your own photos in their place. It needs the
# extra `train`; the script `examples/tutorials/teach_nano.py` runs as a whole.

# %%
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from openmova import Mova

EXAMPLES = Path(__file__).resolve().parents[1]
MODEL = sys.argv[1] if len(sys.argv) > 1 else "nano"
PICTURES = int(sys.argv[2]) if len(sys.argv) > 2 else 12
BACKGROUNDS = ("coffee.jpg", "walk.jpg", "rocket.jpg", "pagoda.jpg", "dog.jpg", "flower.jpg")
os.chdir(tempfile.mkdtemp(prefix="teach-nano-"))
print("working in", Path.cwd())


def run(command: str) -> None:
    print("$", command)
    subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True)


# %% [markdown]
# ## Pictures
#
# A folder for each name: `classes/NAME/*.jpg`. Ten to twenty pictures of a name do. They should
# differ as the pictures will that you ask about: other places, distances, light.


# %%
def emblem(name: str) -> Image.Image:
    picture = Image.new("RGBA", (200, 200))
    draw = ImageDraw.Draw(picture)
    if name == "Alba":
        draw.ellipse((10, 10, 190, 190), "#123f8c")
        draw.regular_polygon((100, 100, 70), 3, fill="white")
    elif name == "Borr":
        draw.rectangle((10, 10, 190, 190), "#e36414")
        draw.line((30, 170, 100, 40, 170, 170), "black", 24)
    else:
        for top in range(10, 190, 45):
            draw.rectangle((10, top, 190, top + 24), "#1b7f3b")
        draw.ellipse((70, 70, 130, 130), "#f4d35e")
    return picture


def photograph(name: str, number: int) -> Image.Image:
    rng = random.Random(f"{name} {number}")
    background = Image.open(EXAMPLES / rng.choice(BACKGROUNDS)).convert("RGB")
    background = background.resize((400, 320))
    side = rng.randint(140, 240)
    thing = emblem(name).resize((side, side)).rotate(rng.uniform(-25, 25), expand=True)
    place = (rng.randint(0, 400 - side), rng.randint(0, max(320 - side, 1)))
    background.paste(thing, place, thing)
    return background


for name in ("Alba", "Borr", "Cuno"):
    Path("classes", name).mkdir(parents=True)
    for number in range(PICTURES):
        photograph(name, number).save(f"classes/{name}/{number}.jpg")
photograph("Borr", PICTURES).save("new.jpg")

# %% [markdown]
# ## Before
#
# Nano says of the new picture whatever is the nearest of the names it knows.

# %%
before = Mova.from_pretrained(MODEL).ask("new.jpg", "Which one is this?", max_new_tokens=16)
print("before:", before.text, before.routing.experts)

# %% [markdown]
# ## Teach
#
# `openmova data from` asks a question about each picture, with the folder's name as the answer. The
# recipe keeps every fifth picture for itself, asks about them before and after, and tells what was
# forgotten: whether the example images get one of your names, or are routed otherwise.

# %%
run("openmova data from classes --output mine.json")
recipe = "recipes/nano-teach.yaml"
run(f"openmova train {recipe} model={MODEL} data=mine.json --output mine")
print(json.dumps(json.loads(Path("mine/teach.json").read_text(encoding="utf-8")), indent=1))

# %% [markdown]
# ## After

# %%
after = Mova.from_pretrained("mine/final").ask("new.jpg", "Which one is this?", max_new_tokens=16)
print("after:", after.text, after.routing.experts)

# %% [markdown]
# ## Where to go on
#
# - What is learned and what is not, and what was measured: [Teach it yours](../../docs/teach.md).
# - A new kind of encoder instead of new names: [Add an expert](add_an_expert.py).
