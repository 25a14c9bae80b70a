"""Three names that nano does not know: pictures to teach them, and what was learned and lost.

    python -m studies.nano.teach pictures runs/teach
    openmova data from runs/teach/train --output runs/teach/mine.json
    openmova train recipes/nano-teach.yaml data=runs/teach/mine.json --output runs/teach/run
    python -m studies.nano.teach ask runs/teach --model runs/teach/run/final
    python -m studies.nano.teach lost --model runs/teach/run/final --n 15

`pictures`: 15 of each name to teach and 10 held out, cut-outs of Tux Paint on photos; those held
out are of other coins, stones and hands. `ask`: each of these, as `openmova data from` asks.
`lost`: questions of the suite whose picture now has one of the names: no other answer can have
changed, if the router did not learn.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageEnhance, ImageFilter

from openmova import Mova
from openmova.cli.console import quiet_libraries
from openmova.data.own_pictures import own_samples
from openmova.experts.object import ObjectExpert
from openmova.inference.answer import matches
from studies import new_parser
from studies.nano.data.pictures import background
from studies.nano.packages import debian
from studies.nano.pictures import open_picture
from studies.nano.suite import draw, load_questions, unpack

STAMPS = {
    "gravestone": "seasonal/halloween/grave-?.png",
    "coin": "symbols/money/*/coins/*.png",
    "hand_sign": "symbols/alphabets/asl/asl_?.png",
}
LEARNED, HELD_OUT = 15, 10
SIDE = 520


def photo(cutout: Image.Image, rng: random.Random) -> Image.Image:
    """A cut-out somewhere on a photo: turned, in another light, more or less sharp."""
    place, _ = background(rng)
    width = min(rng.randint(500, 1600), *place.size)
    left, top = (rng.randint(0, side - width) for side in place.size)
    scene = place.crop((left, top, left + width, top + int(0.8 * width)))
    scene = scene.resize((SIDE, int(0.8 * SIDE)))
    if rng.random() < 0.5:
        cutout = cutout.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = rng.uniform(0.45, 0.95) * scene.height / max(cutout.size)
    narrow = scale * rng.uniform(0.8, 1.0)
    thing = cutout.resize((int(cutout.width * narrow), int(cutout.height * scale)))
    thing = thing.rotate(rng.uniform(-30, 30), Image.Resampling.BICUBIC, expand=True)
    room = (max(own - other, 0) for own, other in zip(scene.size, thing.size, strict=True))
    x, y = (rng.randint(0, free) for free in room)
    scene.paste(thing, (x, y), thing)
    scene = ImageEnhance.Brightness(scene).enhance(rng.uniform(0.6, 1.3))
    scene = ImageEnhance.Contrast(scene).enhance(rng.uniform(0.75, 1.2))
    scene = ImageEnhance.Color(scene).enhance(rng.uniform(0.6, 1.3))
    blurred = scene.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.6)))
    return blurred if rng.random() < 0.4 else scene


def make_pictures(folder: Path) -> None:
    stamps = debian("tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps"
    for name, pattern in STAMPS.items():
        files = sorted(file for file in stamps.glob(pattern) if "_mirror" not in file.stem)
        random.Random(7).shuffle(files)
        cut = int(0.6 * len(files))
        for part, some, count in (
            ("train", files[:cut], LEARNED),
            ("held-out", files[cut:], HELD_OUT),
        ):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            rng = random.Random(f"{name} {part}")
            for number in range(count):
                cutout = Image.open(some[number % len(some)]).convert("RGBA")
                cutout = cutout.crop(cutout.getchannel("A").getbbox())
                quality = rng.randint(60, 92)
                target = folder / part / name / f"{number:02d}.jpg"
                photo(cutout, rng).save(target, quality=quality)


def ask(folder: Path, mova: Mova) -> None:
    right = Counter[str]()
    samples = own_samples(folder / "held-out")
    for sample in samples:
        assert isinstance(sample.image, Path)
        answer = mova.ask(sample.image, sample.question, max_new_tokens=16)
        is_right = matches(answer.text, sample.solution)
        right["right"] += is_right
        right["reach object"] += "object" in answer.routing.experts
        experts = ",".join(answer.routing.experts) or "none"
        print(
            f"{sample.id} | {sample.question} | {experts} | {answer.text} | {is_right}", flush=True
        )
    print(f"{dict(right)} of {len(samples)}")


def count_lost(mova: Mova, n: int) -> None:
    place = mova.experts.index("object")
    expert: Any = mova.model.model.experts.get(place)
    assert isinstance(expert, ObjectExpert) and expert.class_means is not None
    named, asked = Counter[str](), Counter[str]()
    known: dict[str, str] = {}
    for question in draw(load_questions(), 7, n):
        if question.picture not in known:
            image = open_picture(unpack(question.package), question.place)
            inputs = mova.processor.image_processor(image, return_tensors="pt")
            with torch.no_grad():
                hidden = expert.look(inputs["pixel_values"], inputs["image_sizes"])
            (known[question.picture],) = expert.class_means.texts(hidden)
            print(f"{question.picture} | {known[question.picture]}", flush=True)
        asked[question.group] += 1
        named[question.group] += bool(known[question.picture])
    for group, count in asked.items():
        print(f"{group}: {named[group]} of {count} questions")
    print(f"{named.total()} of {asked.total()}; {sum(map(bool, known.values()))} of {len(known)}")


def main() -> None:
    parser = new_parser(__doc__)
    parser.add_argument("part", choices=("pictures", "ask", "lost"))
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/teach"))
    parser.add_argument("--model", default="nano")
    parser.add_argument("--n", type=int, default=15, help="questions of each group of the suite")
    arguments = parser.parse_args()
    quiet_libraries()
    if arguments.part == "pictures":
        make_pictures(arguments.folder)
        return
    mova = Mova.from_pretrained(arguments.model)
    if arguments.part == "ask":
        ask(arguments.folder, mova)
    else:
        count_lost(mova, arguments.n)


if __name__ == "__main__":
    main()
