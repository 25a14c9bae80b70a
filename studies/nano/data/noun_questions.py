# ruff: noqa: E501 - lists of words
"""Questions with any noun: what is written on pages and screens, and what no picture can tell."""

from __future__ import annotations

import random

NOUNS = (
    "mirror", "product", "disk", "company", "book", "author", "gallery", "model", "menu", "version", "package", "update", "invoice", "customer", "room", "ticket", "train", "flight", "mean", "median", "variety", "sample", "publisher", "chapter", "file", "folder", "user", "language", "country", "city", "street",
    "address", "phone number", "email address", "web address", "password", "server", "network", "device", "printer", "font", "colour", "page", "paragraph", "variable", "function", "parameter", "setting", "option", "value", "variance", "test", "coefficient", "group", "category", "brand", "price", "amount", "total", "tax",
    "discount", "order", "date", "time", "year", "month", "day", "weight", "height", "temperature", "distance", "speed", "species", "event", "museum", "hotel", "restaurant", "dish", "drink", "bank", "account", "payment", "contract", "course", "teacher", "student", "school", "team", "player", "game", "song", "film",
    "programme", "station", "line", "platform", "gate", "seat", "licence", "title", "article", "newspaper", "magazine", "entry", "record", "column", "row", "tab", "button", "window", "browser", "dialog", "project", "task", "message", "note", "question", "answer", "warning", "error", "shop", "street sign", "medicine", "dose",
)  # fmt: skip
DONE = ("selected", "installed", "available", "listed", "shown", "chosen", "open", "active", "marked", "given", "mentioned", "printed", "entered", "advertised", "recommended", "highlighted", "used", "configured", "sold", "missing")  # fmt: skip
_WHICH = ("highest", "lowest", "first", "last", "total", "maximal", "minimal", "current", "new", "old", "next", "average", "largest", "default", "second", "third")  # fmt: skip
_READ = (
    "Which {a} is {done}?", "What is the name of the {a}?", "How big is the {a}?", "How many {a}s are {done}?", "Which {a} sent this?", "What is the {which} {a}?", "Who is the {a}?", "When was the {a} {done}?", "On which date is the {a}?",
    "What is the {a} of the {b}?", "Which {a} has been typed in?", "What does the {a} cost?", "How much was charged for the {a}?", "What is the number of the {a}?", "Which {a} is {done} in the {b}?", "In the {a} table, how often does {b} occur?", "What is the total {a}?", "How many {a}s were {done}?",
    "What per cent is the {a}?", "What is the {a} for the {b}?", "Which {a} belongs to the {b}?", "What is the title of the {a}?", "What is the {a} called?", "Whose {a} is it?", "From which {a} is the {b}?", "Which {a}s are {done}?", "How long is the {a}?", "What {a} is it?", "Which {a} is it?", "How much is the {a}?",
    "Until when is the {a} {done}?", "Where is the {a} from?", "Which {a} comes after the {b}?", "What stands in the {which} {a}?", "Which {b} does the {a} have?", "In which {a} is the {b}?", "Is the {a} {done}?", "Name the {which} {a}.", "Give the {a} of the {b}.", "Tell me the {which} {a}.",
    "At what time does the {a} start?", "Which {a} is on the {b}?", "What is item number {n}?", "What is entry {n} of the {a}?", "What comes {which} in the {a}?", "How many {a}s does the {b} have?", "Who signed the {a}?", "Who made the {a}?", "What is the value of the {a}?", "What is the {a} of {b} {n}?",
    "What value does the {a} have?", "What value does {a} have?", "Which value has the {measure}?", "What is the {measure} of the {a}?", "How {large} is the {a}?", "How {large} is the {a} supposed to be?", "What {measure} does the {a} have?", "What is the {measure} set to?", "What is the {a}'s {measure}?",
    "How many {a}s will be {done}?", "How many {a}s does this {sheet} have?", "Which {a} does this {sheet} show?", "What per cent of the {a} is {done}?", "What is the {which} value of the {measure}?", "Which {a} is this {b} running?", "What happens if you press {key}?", "Which key {does} the {a}?", "What does {key} do?",
    "By what date must the {a} be {done}?", "When is the {a} due?", "When does the {a} end?", "What is written next to the {a}?", "Which company sent this {sheet}?", "Under which {a} is the {b}?", "What is the heading of this {sheet}?", "Until when is this {sheet} valid?", "Who wrote this {sheet}?", "What is the last {a} on this {sheet}?",
)  # fmt: skip
_MEASURES = ("angle", "width", "height", "size", "length", "depth", "radius", "opacity", "thickness", "level", "limit", "scale", "rate", "strength", "quality", "threshold", "delay", "interval", "resolution", "frequency", "density", "volume", "zoom", "duration", "range", "minimum", "maximum", "number", "age", "capacity")  # fmt: skip
_LARGE = ("full", "hard", "long", "high", "large", "wide", "strong", "fast", "thick", "old", "busy", "loud", "bright", "deep", "expensive", "heavy")  # fmt: skip
_SHEETS = ("page", "map", "form", "ticket", "window", "letter", "invoice", "bill", "receipt", "dialog", "document", "program", "print-out", "table", "list", "menu", "notice", "plan")  # fmt: skip
_KEYS = ("Ctrl+N", "Ctrl+W", "Ctrl+P", "F1", "F5", "F12", "Alt+F4", "Esc", "Enter", "Ctrl+Z", "Shift+F3", "the left button", "OK", "Cancel", "Tab")  # fmt: skip
_DOES = ("opens", "closes", "saves", "deletes", "prints", "starts", "copies", "shows")

_TISSUE = ("tissue", "lung", "brain", "heart", "liver", "kidney", "skin", "bone", "eye", "breast", "blood", "cell", "joint", "spine", "stomach", "skull", "retina", "tooth")  # fmt: skip
_ILLNESS = ("tumour", "cancer", "stroke", "fracture", "infection", "bleeding", "disease", "inflammation", "lesion", "cyst", "tuberculosis", "pneumonia", "diabetes", "melanoma", "metastasis", "illness")  # fmt: skip
_PERSON = ("person", "man", "woman", "boy", "girl", "child", "player", "driver", "cook", "guest", "dancer", "lady", "baby", "singer")  # fmt: skip
_THING = ("water", "house", "car", "dog", "cat", "boat", "tree", "street", "bridge", "cake", "bag", "chair", "train", "bird", "flower", "room", "lake", "horse", "mountain", "shirt", "bicycle", "plate")  # fmt: skip
_UNKNOWN = (
    "Is this {tissue} malignant?", "Which type of {illness} is this?", "How severe is the {illness}?", "What {tissue} disease can be seen?", "Is there a {illness} in this {tissue}?", "Does the {tissue} look healthy?", "Which disease does this patient have?", "How long has the patient had it?", "Which medicine is needed for the {illness}?", "Is the {illness} dangerous?",
    "What is wrong with the {tissue}?", "Where exactly is the {illness}?", "How large is the {illness}?", "Is the {tissue} normal?", "Does it need surgery?", "Which grade is the {illness}?", "How old is the patient?", "Is it benign?",
    "Who is this {person}?", "Who is that {person}?", "What is the name of this {person}?", "What is the {person}'s name?", "Who are these two people?", "Who are they?", "What is the job of the {person} in the picture?", "What does the {person} do for a living?", "How old is the {person}?", "How old is she?", "How old is he?", "Is she married?", "Where does the {person} come from?", "Who is portrayed here?", "Which religion does the {person} have?", "What is the {person} thinking?", "Is the {person} rich?", "How much does he earn?", "Do you know this {person}?", "Which team does the {person} support?",
    "How cold is the {thing}?", "How deep is the {thing}?", "How heavy is the {thing}?", "How expensive was the {thing}?", "Who owns the {thing}?", "How old is the {thing}?", "What is the name of the {thing}?", "Who took this photo of the {thing}?", "When was the {thing} photographed?", "In which country is the {thing}?", "How fast is the {thing}?", "What is behind the {thing}?", "How does the {thing} smell?", "Who lives there?", "What happened before?", "What happens next?", "Which year was it?", "How loud is it?", "Where did the {person} buy the {thing}?",
)  # fmt: skip

_PRODUCT = ("box", "bottle", "can", "packet", "projector", "phone", "book", "shirt", "machine", "truck", "bus", "shop", "laptop", "camera", "poster", "label", "cup", "bag", "jar", "device", "battery", "game", "sign", "tin", "screen", "engine", "toy", "ticket", "plate", "shelf", "door")  # fmt: skip
_COLOUR = ("red", "blue", "green", "yellow", "white", "black", "left", "right", "upper", "small", "large")  # fmt: skip
_LABEL = (
    "What brand is this {t}?", "Which brand is on the {t}?", "Who made this {t}?", "Which company made the {t}?", "Which model is this {t}?", "What is the model of the {t}?", "What does the {t} say?", "What is written on the {c} {t}?", "What brand are these {t}s?",
    "What is the title of the {c} {t}?", "Which name is on the {t}?", "What number is on the {t}?", "Which word is printed on the {t}?", "What flavour is in the {t}?", "Which size is printed on the {t}?", "When does the {t} expire?", "What is this product called?",
    "Which website is on the {t}?", "How many are in the {t}?", "Which brand name is on the {c} {t}?", "What is on the {which} line of the {t}?", "Which language is on the {t}?", "What is the maker of the {t}?", "Which place does the {c} {t} name?", "What is the slogan on the {t}?",
)  # fmt: skip


def label_question(rng: random.Random) -> str:
    """Asks for what is written on a thing in a photo; takes `text`."""
    asked = rng.choice(_LABEL).format(
        t=rng.choice(_PRODUCT), c=rng.choice(_COLOUR), which=rng.choice(("first", "last", "bottom"))
    )
    return asked if rng.random() < 0.95 else asked.rstrip("?").lower()


def written_question(rng: random.Random) -> str:
    """Asks for something that is written, on whatever page or screen; takes `text`."""
    a, b = rng.sample(NOUNS, 2)
    asked = rng.choice(_READ).format(
        a=a,
        b=b,
        done=rng.choice(DONE),
        which=rng.choice(_WHICH),
        n=rng.randint(1, 20),
        measure=rng.choice(_MEASURES),
        large=rng.choice(_LARGE),
        sheet=rng.choice(_SHEETS),
        key=rng.choice(_KEYS),
        does=rng.choice(_DOES),
    )
    return asked if rng.random() < 0.95 else asked.rstrip("?.").lower()


def unknown_question(rng: random.Random) -> str:
    """Asks what no expert can tell: illness, who somebody is, what lies outside the picture."""
    asked = rng.choice(_UNKNOWN).format(
        tissue=rng.choice(_TISSUE),
        illness=rng.choice(_ILLNESS),
        person=rng.choice(_PERSON),
        thing=rng.choice(_THING),
    )
    return asked if rng.random() < 0.95 else asked.rstrip("?").lower()
