"""The names of ImageNet's 1,000 classes and an everyday word for each, as the kind `object` reads.

    python -m studies.nano.imagenet_names src/openmova/experts/imagenet_names.txt

Names: darknet's list of short names (its data are MIT), in the order of the WordNet ids, which is
that of the weights. Everyday words: the nearest ancestor in WordNet 3.0 (its licence is free) that
is one of WORDS.
"""

from __future__ import annotations

import sys
from pathlib import Path

from studies.nano.packages import debian

TEXT = """
dog cat fox wolf bear lion tiger leopard monkey ape elephant horse zebra pig sheep goat cow
antelope deer camel rabbit hamster squirrel mouse rat beaver otter badger weasel sloth
kangaroo koala whale seal dolphin
bird chicken eagle owl parrot duck goose swan penguin flamingo stork heron pelican finch
hummingbird ostrich peacock vulture
fish shark ray snake lizard turtle crocodile frog salamander dinosaur
spider scorpion insect beetle butterfly bee ant fly grasshopper dragonfly cockroach snail slug
crab lobster jellyfish starfish coral worm
car truck bus van train airplane airship balloon boat ship submarine bicycle motorcycle
scooter tractor ambulance wagon cart sled tank rocket spacecraft
clock watch bottle cup mug glass jug pot pan bowl plate spoon knife fork basket box bucket
barrel vase
chair table desk bed couch bench cabinet bookcase lamp candle mirror curtain pillow rug
hat cap helmet mask glasses shirt dress skirt trousers jacket coat sweater suit sock shoe boot
glove scarf necklace tie swimsuit bag backpack purse wallet umbrella
ball bat racket ski
guitar violin cello harp piano organ drum flute trumpet horn trombone saxophone accordion
harmonica bell
computer laptop keyboard screen monitor printer telephone camera television radio projector
loudspeaker microphone refrigerator oven stove toaster washer iron fan
hammer screwdriver saw axe shovel plow gun rifle pistol cannon bow sword
fruit apple orange lemon banana pineapple strawberry fig pomegranate vegetable cabbage corn
mushroom cucumber pepper
bread cake pizza hamburger sandwich soup dessert pasta meat wine coffee dish
house church mosque palace castle tower bridge dam fence wall shop restaurant library theater
prison lighthouse barn
mountain valley volcano beach cliff geyser reef lake
flower tree book newspaper toilet bathtub
building furniture clothing vehicle tool fabric
"""
WORDS = frozenset(TEXT.split())
SPELLINGS = {"telephone": "phone", "ape": "monkey"}
CORRECTIONS = {
    "cock": "chicken",
    "hen": "chicken",
    "Komodo dragon": "lizard",
    "American alligator": "alligator",
    "tusker": "elephant",
    "hermit crab": "crab",
    "cougar": "cougar",
    "lynx": "lynx",
    "jaguar": "jaguar",
    "snow leopard": "leopard",
    "cheetah": "cheetah",
    "dingo": "dog",
    "dhole": "dog",
    "African hunting dog": "dog",
    "hare": "rabbit",
    "wild boar": "pig",
    "bighorn": "sheep",
    "ox": "cow",
    "polecat": "ferret",
    "black-footed ferret": "ferret",
    "Madagascar cat": "lemur",
    "indri": "lemur",
    "giant panda": "panda",
    "lesser panda": "red panda",
    "ladybug": "ladybug",
    "ashcan": "trash can",
    "catamaran": "boat",
    "trimaran": "boat",
    "schooner": "ship",
    "electric locomotive": "train",
    "steam locomotive": "train",
    "streetcar": "tram",
    "warplane": "airplane",
    "plane": "tool",
    "tricycle": "tricycle",
    "snowmobile": "snowmobile",
    "forklift": "forklift",
    "jean": "trousers",
    "wig": "wig",
    "bubble": "bubble",
    "puck": "puck",
    "nipple": "bottle",
    "thimble": "thimble",
    "lens cap": "camera",
    "web site": "web page",
    "book jacket": "book",
    "comic book": "book",
    "toilet seat": "toilet",
    "toilet tissue": "toilet paper",
    "notebook": "laptop",
    "slide rule": "ruler",
    "rule": "ruler",
    "iPod": "music player",
    "sunglass": "glasses",
    "teddy": "teddy bear",
    "hand blower": "hair dryer",
    "measuring cup": "cup",
    "mouse": "computer mouse",
    "monitor": "screen",
    "washbasin": "sink",
    "seashore": "beach",
    "lakeside": "lake",
    "ear": "corn",
    "missile": "rocket",
    "projectile": "rocket",
    "ice cream": "ice cream",
    "breastplate": "armor",
    "cuirass": "armor",
    "mountain tent": "tent",
    "grocery store": "shop",
    "rain barrel": "barrel",
    "water tower": "tower",
    "stone wall": "wall",
    "monastery": "monastery",
    "jack-o'-lantern": "pumpkin",
    "car wheel": "wheel",
    "bathtub": "bathtub",
    "tub": "bathtub",
    "sewing machine": "sewing machine",
    "stopwatch": "watch",
    "coral fungus": "mushroom",
    "agaric": "mushroom",
    "gyromitra": "mushroom",
    "stinkhorn": "mushroom",
    "earthstar": "mushroom",
    "hen-of-the-woods": "mushroom",
    "bolete": "mushroom",
    "ballplayer": "baseball player",
    "space shuttle": "spacecraft",
    "seat belt": "seat belt",
    "ballpoint": "pen",
    "fountain pen": "pen",
    "quill": "pen",
    "Band Aid": "bandage",
    "photocopier": "copier",
    "punching bag": "punching bag",
    "computer keyboard": "keyboard",
    "lawn mower": "lawn mower",
}
"""What is said otherwise than the nearest ancestor says."""


def wordnet_nouns() -> dict[str, tuple[list[str], list[str]]]:
    """Offset -> (lemmas, offsets of the hypernyms)."""
    nouns = {}
    file = debian("wordnet-base") / "usr/share/wordnet/data.noun"
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        fields = line.split(" | ")[0].split()
        count = int(fields[3], 16)
        lemmas = [fields[4 + 2 * i].replace("_", " ").lower() for i in range(count)]
        pointers = fields[5 + 2 * count :]
        above = [pointers[i + 1] for i in range(len(pointers) - 3) if pointers[i] in ("@", "@i")]
        nouns[fields[0]] = (lemmas, above)
    return nouns


def everyday_word(offset: str, nouns: dict[str, tuple[list[str], list[str]]]) -> str | None:
    """The nearest of a noun and its ancestors that is one of WORDS."""
    level, seen = [offset], {offset}
    while level:
        for place in level:
            for lemma in nouns[place][0]:
                if lemma in WORDS:
                    return SPELLINGS.get(lemma, lemma)
        level = [a for place in level for a in nouns[place][1] if a not in seen]
        seen.update(level)
    return None


def main() -> None:
    data = debian("darknet") / "usr/share/darknet/data"
    ids = (data / "imagenet.labels.list").read_text().split()[:1000]
    names = (data / "imagenet.shortnames.list").read_text().splitlines()[:1000]
    nouns = wordnet_nouns()
    lines = []
    for identity, name in sorted(zip(ids, names, strict=True)):
        word = everyday_word(identity[1:], nouns)
        lines.append(f"{name}\t{CORRECTIONS.get(name, word or name)}\n")
    Path(sys.argv[1]).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
