# ruff: noqa: E501 - tables of words
"""Photos as backgrounds, and cut-outs with names: of packages, read once."""

from __future__ import annotations

import random
import re
import zipfile
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

from PIL import Image

from studies.nano.packages import debian

Image.MAX_IMAGE_PIXELS = None  # wallpapers are large and trusted

_PHOTOS = {
    "mate-backgrounds": "usr/share/backgrounds/mate/nature/*.jpg",
    "lomiri-wallpapers-16.04": "usr/share/backgrounds/*_by_[!A]*.jpg",
    "stellarium-data": "usr/share/stellarium/landscapes/gue*/gue*[0-9].png",
    **{
        f"plasma-workspace-wallpapers#{name}": f"usr/share/wallpapers/{name}/contents/images/2560x1600.jpg"
        for name in ("BytheWater", "ColdRipple", "DarkestHour", "EveningGlow", "FallenLeaf", "Kite", "OneStandsOut", "Path", "summer_1am", "ColorfulCups")
    },
}  # fmt: skip
"""Real photos. Drawn and abstract wallpapers are left out."""


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """A picture with transparency and what people call the thing on it.

    coco: its class among COCO's 80, "" if it has none. group: animal, food, vehicle, plant, tool or
    thing. drawn: a drawing, not a photo. package: where it is from.
    """

    name: str
    group: str
    coco: str
    drawn: bool
    package: str
    file: str


def background(rng: random.Random) -> tuple[Image.Image, str]:
    """A real photo, at most 1,600 pixels wide, and its package."""
    package, file = rng.choice(backgrounds())
    return _opened(str(file)), package


@cache
def backgrounds() -> tuple[tuple[str, Path], ...]:
    found = []
    for key, pattern in _PHOTOS.items():
        package = key.split("#")[0]
        found += [(package, file) for file in sorted(debian(package).glob(pattern))]
    return tuple(found)


@lru_cache(maxsize=40)
def _opened(file: str) -> Image.Image:
    with Image.open(file) as opened:
        opened.draft("RGB", (1600, 1600))
        image = opened.convert("RGBA")
    under = Image.new("RGBA", image.size, (150, 180, 215, 255))  # a sky, where a landscape ends
    image = Image.alpha_composite(under, image).convert("RGB")
    image.thumbnail((1600, 1600))
    return image


@lru_cache(maxsize=400)
def load(cutout: Cutout) -> Image.Image:
    """The cut-out's pixels with transparency, without an empty border."""
    if ".sh3f!" in cutout.file:
        archive, member = cutout.file.split("!")
        with zipfile.ZipFile(archive) as opened:
            image = Image.open(BytesIO(opened.read(member))).convert("RGBA")
    else:
        image = Image.open(cutout.file).convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 if a > 20 else 0).getbbox()
    image = image.crop(box) if box else image
    image.thumbnail((700, 700))
    return image


# Stamps' names from their descriptions: what would be wrong or clumsy there.
_NAMES = {
    "albino_peahen": "peahen", "blackbird": "blackbird", "chicken_profile": "chicken", "little-penguin": "penguin", "magellanic_penguin": "penguin", "nandou": "rhea", "peacock": "peacock",
    "pink_flamingo": "flamingo", "rooster": "rooster", "silver-gull": "seagull", "hen": "hen", "bluegroper": "fish", "coraltrout": "fish", "dolphinfish": "fish", "butterflyfish": "fish", "moonwrasse": "fish", "stripedfish": "fish",
    "lionfish": "lionfish", "lobster": "lobster", "Brown_slug": "slug", "snail": "snail", "snail2": "snail", "hoverfly": "hoverfly", "tamarin_emperor": "monkey", "teddy_bear": "teddy bear", "edward_bear": "teddy bear",
    "european-bear": "bear", "gnu-baby-stand": "gnu", "gnu-baby": "gnu", "gnu-sitting": "gnu", "gnu-stand": "gnu", "mountaingoat": "mountain goat", "sheep_lamb": "lamb", "tiger_sumatran": "tiger", "lion": "lion", "hippopotamus": "hippopotamus",
    "pig_golden": "pig", "pig_golden2": "pig", "rabbit_little": "rabbit", "rhino_black": "rhinoceros", "capybara": "capybara", "rabbit-2": "rabbit", "wildboar": "wild boar", "kangaroo": "kangaroo", "murray-mussel": "mussel",
    "clothespin_new": "clothespin", "clothespin_old": "clothespin", "blue_fedora": "hat", "green_fedora": "hat", "feathered_hat": "hat", "propeller_hat": "hat", "tophat": "top hat", "t_baseballcap": "cap", "t_pants": "trousers", "t_shirt": "shirt", "t_poloshirt": "polo shirt", "t_tshirt": "T-shirt",
    "Cherry_Stella": "cherries", "apple_fuji": "apple", "apple_granny_smith": "apple", "apple_green": "apple", "apple_red": "apple", "apple_sierra_beauty": "apple", "apple": "apple", "avocado": "avocado", "blueberry": "blueberries", "cherries": "cherries", "grapes": "grapes", "lemon": "lemon",
    "cherimoya": "cherimoya", "mandarine": "mandarin", "orange_seville": "orange", "sliced_orange": "orange", "sliced_lime": "lime", "pear": "pear", "walnut_shelled": "walnut", "pizza": "pizza", "ginger": "ginger", "broccoli": "broccoli", "chilepepper": "chili pepper", "corn": "corn", "garlic": "garlic", "garlics": "garlic", "lettuce": "lettuce", "redlettuce": "lettuce",
    "pattypan_squash": "squash", "pepper": "pepper", "yellowpepper": "pepper", "potato": "potato", "pumpkin_small": "pumpkin", "tomato": "tomato", "binoculars": "binoculars", "cymbal_crash": "cymbal", "drum_tomtom_floor": "drum", "drumkit": "drum kit", "guitar2": "guitar", "guitar_classical": "guitar", "guitar_electric": "guitar", "guitar_electric_bass": "guitar",
    "highlighter": "highlighter", "pen_dryerase": "marker", "scissors_small_closed": "scissors", "scissors_small_open": "scissors", "pasta_pot": "pot", "glass": "glass", "pitcher_small": "pitcher", "garbagecan": "garbage can", "home_compost_bin": "bin", "kettle": "kettle", "toilet": "toilet", "mallet_metal": "mallet", "measuring_tape": "measuring tape", "paintbrush_large": "paintbrush", "plyers": "pliers", "spade": "spade",
    "wrench_adjustable": "wrench", "wrench_plumbers": "wrench", "wheelie_bin": "bin", "bandage_adhesive": "bandage", "mercurythermometer": "thermometer", "stethoscope": "stethoscope", "fire": "fire", "lightningbolt": "lightning", "fireman200b": "fireman", "fireman240a": "fireman", "grannysmith": "doll", "anemone_red": "flower", "adeenia": "flower", "anthoorium": "flower", "appooppanthady": "flower", "bolsom": "flower", "chemparathi": "hibiscus",
    **{f"flower{i}": "flower" for i in (*range(1, 4), *range(5, 7), 8, 9)}, "flower10": "hibiscus", "pigface": "flower", "red-gazania": "flower", "whitestar-petunia": "petunia", "yellow-flower": "flower", "lavender": "lavender", "lettuce_bolted": "lettuce", "cep-1": "mushroom", "cep": "mushroom", "birch": "birch", "holly_leaves": "holly", "holm_oak": "oak", "liberia-palm": "palm tree", "tree336": "tree",
    "candle": "candle", "Candy_cane_photo_1": "candy cane", "Candy_cane_photo_2": "candy cane", "Christmas_Tree_photo": "Christmas tree", "Christmas_pudding": "pudding", "Mince_Pie": "pie", "Roast_turkey": "roast turkey", "Santa": "Santa Claus", "wrapped_chocolate_easter_egg": "Easter egg", "wrapped_chocolate_easter_egg_2": "Easter egg", "moon_full": "moon", "0_sun": "Sun", "3_earth": "Earth", "5_jupiter": "Jupiter", "6_saturn": "Saturn", "spacewalk": "astronaut", "4_mars": "Mars",
    "australian_rules_football": "football", "basketball": "basketball", "cricketball": "cricket ball", "football": "football", "soccer": "soccer ball", "trophy_cup": "trophy", "blue-and-yellowflag": "flag", "checkeredflag": "flag", "greenflag": "flag", "redflag": "flag", "whiteflag": "flag", "yellowflag": "flag", "uk_post_box": "post box", "usps_mailbox": "mailbox", "stop": "stop sign",
    "stoplight_01_red": "traffic light", "stoplight_02_yellow": "traffic light", "stoplight_03_green": "traffic light", "traffic_cone": "traffic cone", "7spoke256": "wheel", "beetle": "car", "sedan": "car", "sportscar2": "sports car", "truck": "truck", "dumper": "dumper", "pink_tricycle": "tricycle", "firetruck": "fire truck", "balloon360": "hot air balloon", "747": "airplane", "garbagetruck": "garbage truck", "toy_train": "train",
    "double_decker_bus": "bus", "green_korean_bus": "bus", "indycar": "race car", "chineseJunk": "sailing ship", "wheel_tractor": "wheel", "bluebird": "bird", "bunny": "rabbit", "chick": "chick", "bat_left": "bat", "blackcat": "cat", "ghost": "ghost", "skull": "skull", "spider": "spider", "fire_engine": "fire truck", "towTruck": "tow truck", "eddieCopter": "helicopter", "plane": "airplane", "tugboat": "tugboat", "windmill": "windmill", "lamp": "light bulb", "Lightbulb": "light bulb", "eiffel_tower": "Eiffel Tower", "statue": "statue", "heron_greatblue": "heron", "heron_greatblue_flying": "heron", "helmeted_guineafowl": "guinea fowl", "crowned_crane": "crane", "tucan": "toucan", "cow_white": "cow", "donkey_eating": "donkey", "wapiti": "deer", "doe": "deer", "camera_35mm": "camera", "mermaid": "mermaid", "lion-2": "lion", "frog-1": "frog", "kiwi": "kiwi", "t_jacket": "jacket", "indian_blackbuck": "antelope", "caribou": "reindeer", "old_naval_shell": "", "explosion": "", "tooth": "tooth", "apple_core": "", "lemon_slice": "lemon",
}  # fmt: skip

_COCO = {
    "bird": "adelaide-rosella albino_peahen blackbird chicken_profile crow crowned_crane cuckoo drake duck gander guineafowl helmeted_guineafowl hen heron_greatblue heron_greatblue_flying lark magpie nandou ostrich owl peacock pelican pigeon pink_flamingo quetzal rainbow-lorikeet rooster seagull silver-gull tucan turkey vulture",
    "person": "fireman200b fireman240a",
    "cow": "bull cow cow_white", "sheep": "sheep ram sheep_lamb", "bear": "bear european-bear", "dog": "dog", "elephant": "elephant", "horse": "horse", "zebra": "zebra", "giraffe": "giraffe",
    "apple": "apple_fuji apple_granny_smith apple_green apple_red apple_sierra_beauty", "banana": "banana", "orange": "orange orange_seville mandarine", "broccoli": "broccoli", "carrot": "carrot", "pizza": "pizza",
    "sports ball": "basketball soccer tennis_ball", "tennis racket": "tennis_racket", "scissors": "scissors_small_open scissors_small_closed", "cup": "mug", "toilet": "toilet", "teddy bear": "edward_bear",
    "car": "beetle sedan sportscar2", "truck": "truck firetruck garbagetruck", "bus": "green_korean_bus", "airplane": "747", "boat": "chineseJunk", "stop sign": "stop", "traffic light": "stoplight_01_red stoplight_02_yellow stoplight_03_green",
}  # fmt: skip

_GROUPS = {
    "animals": "animal",
    "food": "food",
    "vehicles": "vehicle",
    "plants": "plant",
    "household/tools": "tool",
}

_FURNITURE = {
    "chair": "chair", "armchair": "chair", "sofa": "couch", "couch": "couch", "bed": "bed", "table": "dining table", "desk": "", "lamp": "", "television": "tv", "tv": "tv", "laptop": "laptop", "refrigerator": "refrigerator", "fridge": "refrigerator", "oven": "oven",
    "sink": "sink", "washbasin": "", "bathtub": "", "piano": "", "bookcase": "", "wardrobe": "", "clock": "clock", "vase": "vase", "bicycle": "bicycle", "motorcycle": "motorcycle", "microwave": "microwave", "toaster": "toaster", "stool": "", "bench": "bench", "fireplace": "", "guitar": "", "aquarium": "", "dishwasher": "", "washing machine": "", "bottle": "bottle", "keyboard": "", "telephone": "", "umbrella": "umbrella", "cup": "cup", "bowl": "bowl", "toilet": "toilet", "car": "car", "boat": "boat", "plant": "potted plant", "tree": "", "ladder": "", "mirror": "", "candle": "",
}  # fmt: skip
"""Names of furniture that are taken, and their classes."""


def _stamps() -> list[Cutout]:
    folder = debian("tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps"
    classes = {stem: coco for coco, stems in _COCO.items() for stem in stems.split()}
    found = []
    for file in sorted(folder.rglob("*.png")):
        path = file.relative_to(folder).as_posix()
        if file.stem.endswith(("_mirror", "_flip")) or path.startswith(
            ("symbols", "military", "naturalforces/exp")
        ):
            continue
        name = _NAMES.get(file.stem, _described(file.with_suffix(".txt")))
        group = next((g for key, g in _GROUPS.items() if path.startswith(key)), "thing")
        drawn = "cartoon" in path or (
            path.startswith("seasonal") and not re.search("photo|pudding|Pie|turkey|egg", path)
        )
        if name:
            coco = "" if drawn else classes.get(file.stem, "")
            found.append(
                Cutout(
                    name=name,
                    group=group,
                    coco=coco,
                    drawn=drawn,
                    package="tuxpaint-stamps-default",
                    file=str(file),
                )
            )
    return found


def _described(file: Path) -> str:
    """The name in a description like `A red fox.`; "" if it is not that simple."""
    text = (
        file.read_text(encoding="utf-8", errors="replace").splitlines()[0] if file.exists() else ""
    )
    plain = re.fullmatch(
        r"(?:An? |The |Some )?(?:pair of |bunch of )?([a-zA-Z' -]{3,22})[.!]?", text
    )
    return plain[1].lower() if plain and len(plain[1].split()) <= 2 else ""


def _furniture() -> list[Cutout]:
    found = []
    for archive in sorted(
        (debian("sweethome3d-furniture") / "usr/share/sweethome3d/furniture").glob("*.sh3f")
    ):
        with zipfile.ZipFile(archive) as opened:
            text = opened.read("PluginFurnitureCatalog.properties").decode("latin-1")
            known = dict(re.findall(r"^((?:name|icon)#\d+)\s*=\s*(.+?)\s*$", text, re.M))
            members = set(opened.namelist())
        for key, name in known.items():
            number = key.split("#")[1]
            icon = known.get(f"icon#{number}", "").lstrip("/")
            words = re.findall(r"[a-z]+", name.lower())
            named = next(
                (n for n in _FURNITURE if words and (words[-1] == n or " ".join(words[-2:]) == n)),
                None,
            )
            if key.startswith("name") and named and icon in members:
                found.append(
                    Cutout(
                        name=named,
                        group="thing",
                        coco=_FURNITURE[named],
                        drawn=False,
                        package="sweethome3d-furniture",
                        file=f"{archive}!{icon}",
                    )
                )
    return found


@cache
def cutouts() -> tuple[Cutout, ...]:
    """All cut-outs with names."""
    return (*_stamps(), *_furniture())


def article(name: str) -> str:
    """The name with `a` or `an`, or as it is where it is a plural or a name of its own."""
    if name in _PLURALS or (
        name[0].isupper() and name not in ("T-shirt", "Christmas tree", "Easter egg")
    ):
        return name
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def plural(name: str) -> str:
    """The plural of a class's name."""
    own = {
        "person": "people",
        "sheep": "sheep",
        "scissors": "scissors",
        "mouse": "mice",
        "bus": "buses",
        "couch": "couches",
        "bench": "benches",
        "toothbrush": "toothbrushes",
        "knife": "knives",
        "wine glass": "wine glasses",
        "broccoli": "pieces of broccoli",
        "tv": "TVs",
    }
    return own.get(name, f"{name}s")


_PLURALS = (
    "scissors",
    "trousers",
    "cherries",
    "grapes",
    "binoculars",
    "pliers",
    "flowers",
    "two flowers",
    "blueberries",
    "garlic",
    "ginger",
    "corn",
    "broccoli",
    "lettuce",
    "lightning",
    "fire",
    "lavender",
    "holly",
    "big fireworks",
)
