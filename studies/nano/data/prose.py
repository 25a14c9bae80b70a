# ruff: noqa: E501 - lists of sentences
"""Prose: sentences that state facts, with questions about them; definitions of WordNet; filler.

A sentence is a template; each question names the slot that answers it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache

from openmova.errors import UserError
from studies.nano.data.documents import Ask
from studies.nano.data.fields import product
from studies.nano.data.words import Words
from studies.nano.packages import debian

Fact = tuple[str, tuple[tuple[str, str], ...]]

_FACTS: dict[str, tuple[Fact, ...]] = {
    "en": (
        ("The {place} in {city} was founded in {year} by {person}.", (("When was the {place} founded?", "year"), ("In which year was the {place} in {city} founded?", "year"), ("Who founded the {place}?", "person"), ("Where is the {place}?", "city"), ("In which city is the {place}?", "city"))),
        ("{person} was born in {city} in {year}.", (("Where was {person} born?", "city"), ("When was {person} born?", "year"), ("In which town was {person} born?", "city"), ("Who was born in {city}?", "person"), ("{person}'s place of birth?", "city"))),
        ("{person}, who works as a {job}, has lived in {city} since {year}.", (("What does {person} work as?", "job"), ("What is {person}'s job?", "job"), ("Since when has {person} lived in {city}?", "year"), ("Where does {person} live?", "city"))),
        ("In {year}, {company} moved its head office to {city}.", (("Where did {company} move?", "city"), ("When did {company} move to {city}?", "year"), ("Which company moved to {city}?", "company"), ("Where is the head office of {company}?", "city"))),
        ("The {thing} costs {money} and weighs {weight}.", (("How much does the {thing} cost?", "money"), ("What is the price of the {thing}?", "money"), ("How heavy is the {thing}?", "weight"), ("What does the {thing} weigh?", "weight"))),
        ("{product} is sold for {money} at {company}.", (("What does {product} cost?", "money"), ("How much is {product}?", "money"), ("Where is {product} sold?", "company"), ("Which company sells {product}?", "company"))),
        ("The meeting on {date} will be led by {person} and starts at {time}.", (("When does the meeting start?", "time"), ("Who leads the meeting?", "person"), ("On which day is the meeting?", "date"), ("What time is the meeting?", "time"), ("What is the date of the meeting?", "date"))),
        ("The {place} is open from {time} to {time2} and closed on {weekday}.", (("When does the {place} open?", "time"), ("When does the {place} close?", "time2"), ("On which day is the {place} closed?", "weekday"), ("Until when is the {place} open?", "time2"))),
        ("The river {name} is {distance} long and flows through {city}.", (("How long is the river {name}?", "distance"), ("Through which city does the {name} flow?", "city"), ("Which river flows through {city}?", "name"), ("What is the length of the {name}?", "distance"))),
        ("{name} is a village in {country} with {number} inhabitants.", (("How many inhabitants does {name} have?", "number"), ("In which country is {name}?", "country"), ("How many people live in {name}?", "number"), ("Where is {name}?", "country"), ("Population of {name}?", "number"))),
        ("{person} won the {event} of {year} in {time3}.", (("Who won the {event}?", "person"), ("In which year did {person} win the {event}?", "year"), ("What was the winner's time?", "time3"), ("What did {person} win?", "event"))),
        ("The novel \"{title}\" was written by {person} and published in {year}.", (("Who wrote \"{title}\"?", "person"), ("When was \"{title}\" published?", "year"), ("What is the novel of {person} called?", "title"), ("Who is the author of \"{title}\"?", "person"))),
        ("{name} was developed by {company} and first released in {month} {year}.", (("Who developed {name}?", "company"), ("When was {name} first released?", "my"), ("What did {company} develop?", "name"), ("Which company made {name}?", "company"))),
        ("To reset the {thing}, hold the {colour} button for {count} seconds.", (("Which button resets the {thing}?", "the {colour} button"), ("How long do I hold the button?", "{count} seconds"), ("What colour is the button?", "colour"), ("How do I reset the {thing}?", "Hold the {colour} button for {count} seconds."))),
        ("The default value of {option} is {value}.", (("What is the default value of {option}?", "value"), ("What is the default of {option}?", "value"), ("{option}: default?", "value"), ("Which option has the default value {value}?", "option"))),
        ("Option {option} sets the maximum number of {items}, which is {value} by default.", (("What does {option} set?", "the maximum number of {items}"), ("Which option sets the number of {items}?", "option"), ("How many {items} are allowed by default?", "value"))),
        ("The file {file} contains the settings of {name}.", (("What does {file} contain?", "the settings of {name}"), ("Which file contains the settings of {name}?", "file"), ("Where are the settings of {name}?", "file"))),
        ("About {percent} of the {items} were sold to {country}.", (("Where were the {items} sold?", "country"), ("How many of the {items} were sold to {country}?", "percent"), ("What share went to {country}?", "percent"))),
        ("The train to {city} leaves from platform {count} at {time}.", (("From which platform does the train to {city} leave?", "count"), ("When does the train to {city} leave?", "time"), ("Where does the train go?", "city"), ("At what time is the train to {city}?", "time"))),
        ("Please send the {document} to {email} before {date}.", (("Where should the {document} be sent?", "email"), ("To which address do I send the {document}?", "email"), ("By when must the {document} be sent?", "date"), ("What must be sent to {email}?", "the {document}"))),
        ("If you have questions, call {person} on {phone}.", (("Whom can I call?", "person"), ("Which number can I call?", "phone"), ("What is the phone number of {person}?", "phone"), ("Who answers questions?", "person"))),
        ("The {thing} was invented by {person} in {country}.", (("Who invented the {thing}?", "person"), ("Where was the {thing} invented?", "country"), ("What did {person} invent?", "the {thing}"))),
        ("The bridge is {distance2} long, was opened in {year} and cost {money}.", (("How long is the bridge?", "distance2"), ("When was the bridge opened?", "year"), ("How much did the bridge cost?", "money"))),
        ("{person} is married to {person2}, and they have {count} children.", (("Who is {person} married to?", "person2"), ("How many children does {person} have?", "count"), ("How many children do they have?", "count"))),
        ("Mix {grams} of flour with {count} eggs and bake at {temperature} for {minutes}.", (("How much flour is needed?", "grams"), ("How many eggs are needed?", "count"), ("At what temperature is it baked?", "temperature"), ("How long is it baked?", "minutes"))),
        ("The capital of {name} is {city}, and its currency is called {name2}.", (("What is the capital of {name}?", "city"), ("What is the currency of {name}?", "name2"), ("How is the currency called?", "name2"))),
        ("{company} employs {number} people and made a profit of {money} in {year}.", (("How many people work for {company}?", "number"), ("What was the profit of {company}?", "money"), ("In which year was the profit {money}?", "year"), ("How many employees does {company} have?", "number"))),
        ("The password must have at least {count} characters and expires after {days}.", (("How many characters must the password have?", "count"), ("When does the password expire?", "after {days}"), ("How long is the password valid?", "days"))),
        ("The function {function} returns {result}.", (("What does {function} return?", "result"), ("Which function returns {result}?", "function"), ("What is the result of {function}?", "result"))),
        ("Press {keys} to {action}.", (("How do I {action}?", "Press {keys}."), ("What does {keys} do?", "action"), ("Which keys do I press to {action}?", "keys"), ("Shortcut to {action}?", "keys"))),
        ("The {animal} can reach a speed of {speed} and lives in {country}.", (("How fast is the {animal}?", "speed"), ("Where does the {animal} live?", "country"), ("Which animal lives in {country}?", "the {animal}"))),
        ("The exhibition \"{title}\" can be seen until {date} at the {place}.", (("Until when can the exhibition be seen?", "date"), ("Where is the exhibition \"{title}\"?", "the {place}"), ("What is the exhibition called?", "title"))),
        ("Tickets cost {money} for adults and {money2} for children.", (("What does a ticket for adults cost?", "money"), ("What do children pay?", "money2"), ("How much is a ticket for a child?", "money2"), ("How much do adults pay?", "money"))),
        ("{person} scored {count} goals for {city} and was chosen as the best player.", (("How many goals did {person} score?", "count"), ("Who was the best player?", "person"), ("For which team did {person} play?", "city"))),
        ("The temperature fell to {temperature2} on {weekday} night.", (("How cold was it?", "temperature2"), ("When did the temperature fall to {temperature2}?", "on {weekday} night"), ("What was the temperature on {weekday} night?", "temperature2"))),
        ("Version {version} of {name} fixes {count} errors.", (("How many errors does version {version} fix?", "count"), ("Which version fixes {count} errors?", "version"), ("Which version of {name} is it?", "version"))),
        ("The {name} licence allows up to {count2} users.", (("How many users does the {name} licence allow?", "count2"), ("Up to how many users are allowed?", "count2"))),
        ("The study was carried out by the University of {city} with {number} participants.", (("Who carried out the study?", "the University of {city}"), ("How many participants did the study have?", "number"), ("How many people took part?", "number"))),
        ("{person} paid {money} for the {colour} {thing}.", (("How much did {person} pay?", "money"), ("What colour is the {thing}?", "colour"), ("What did {person} buy?", "the {colour} {thing}"), ("Who bought the {thing}?", "person"))),
        ("The workshop takes place in room {room} and is given by {person}.", (("In which room is the workshop?", "room"), ("Who gives the workshop?", "person"), ("Where does the workshop take place?", "in room {room}"))),
    ),
    "de": (
        ("{person} wurde {year} in {city} geboren.", (("Wo wurde {person} geboren?", "city"), ("Wann wurde {person} geboren?", "year"), ("When was {person} born?", "year"), ("Where was {person} born?", "city"))),
        ("Das Museum in {city} wurde {year} von {person} gegründet.", (("Wann wurde das Museum gegründet?", "year"), ("Wer hat das Museum gegründet?", "person"), ("Who founded the museum?", "person"), ("Where is the museum?", "city"))),
        ("Die Sitzung beginnt am {date} um {time} in Raum {room}.", (("Wann beginnt die Sitzung?", "time"), ("In welchem Raum ist die Sitzung?", "room"), ("On which day is the meeting?", "date"), ("When does the meeting start?", "time"))),
        ("Bei Fragen wenden Sie sich an {person}, Telefon {phone}.", (("An wen kann ich mich wenden?", "person"), ("Which number can I call?", "phone"), ("Wie ist die Telefonnummer?", "phone"), ("Whom can I call?", "person"))),
        ("{company} beschäftigt {number} Menschen und sitzt in {city}.", (("Wie viele Menschen arbeiten bei {company}?", "number"), ("Wo sitzt {company}?", "city"), ("How many people work for {company}?", "number"))),
        ("Der Eintritt kostet {money}, Kinder zahlen {money2}.", (("Was kostet der Eintritt?", "money"), ("Was zahlen Kinder?", "money2"), ("How much do children pay?", "money2"), ("How much is the entry?", "money"))),
        ("Der Zug nach {city} fährt um {time} von Gleis {count}.", (("Von welchem Gleis fährt der Zug?", "count"), ("Wann fährt der Zug nach {city}?", "time"), ("From which platform does the train leave?", "count"))),
        ("{name} ist ein Dorf in {country} mit {number} Einwohnern.", (("Wie viele Einwohner hat {name}?", "number"), ("In welchem Land liegt {name}?", "country"), ("How many people live in {name}?", "number"))),
    ),
    "fr": (
        ("{person} est né à {city} en {year}.", (("Où est né {person} ?", "city"), ("En quelle année est né {person} ?", "year"), ("When was {person} born?", "year"), ("Where was {person} born?", "city"))),
        ("Le musée de {city} a été fondé en {year} par {person}.", (("Qui a fondé le musée ?", "person"), ("Quand le musée a-t-il été fondé ?", "year"), ("Who founded the museum?", "person"))),
        ("La réunion du {date} commence à {time} dans la salle {room}.", (("À quelle heure commence la réunion ?", "time"), ("Dans quelle salle est la réunion ?", "room"), ("When does the meeting start?", "time"), ("On which day is the meeting?", "date"))),
        ("Pour toute question, appelez {person} au {phone}.", (("Qui peut-on appeler ?", "person"), ("Quel est le numéro de téléphone ?", "phone"), ("Which number can I call?", "phone"))),
        ("{company} emploie {number} personnes à {city}.", (("Combien de personnes travaillent chez {company} ?", "number"), ("Où se trouve {company} ?", "city"), ("How many people work for {company}?", "number"))),
        ("L'entrée coûte {money} et {money2} pour les enfants.", (("Combien coûte l'entrée ?", "money"), ("Combien paient les enfants ?", "money2"), ("How much do children pay?", "money2"))),
    ),
    "es": (
        ("{person} nació en {city} en {year}.", (("¿Dónde nació {person}?", "city"), ("¿En qué año nació {person}?", "year"), ("When was {person} born?", "year"), ("Where was {person} born?", "city"))),
        ("El museo de {city} fue fundado en {year} por {person}.", (("¿Quién fundó el museo?", "person"), ("¿Cuándo fue fundado el museo?", "year"), ("Who founded the museum?", "person"))),
        ("La reunión del {date} empieza a las {time} en la sala {room}.", (("¿A qué hora empieza la reunión?", "time"), ("¿En qué sala es la reunión?", "room"), ("When does the meeting start?", "time"), ("On which day is the meeting?", "date"))),
        ("Si tiene preguntas, llame a {person} al {phone}.", (("¿A quién se puede llamar?", "person"), ("¿Cuál es el número de teléfono?", "phone"), ("Which number can I call?", "phone"))),
        ("{company} tiene {number} empleados en {city}.", (("¿Cuántos empleados tiene {company}?", "number"), ("¿Dónde está {company}?", "city"), ("How many people work for {company}?", "number"))),
        ("La entrada cuesta {money} y los niños pagan {money2}.", (("¿Cuánto cuesta la entrada?", "money"), ("¿Cuánto pagan los niños?", "money2"), ("How much do children pay?", "money2"))),
    ),
}  # fmt: skip

_SLOTS: dict[str, Callable[[Words], str]] = {
    "person": Words.name,
    "person2": Words.name,
    "city": Words.city,
    "company": Words.company,
    "country": Words.country,
    "name": Words.made_up,
    "name2": Words.made_up,
    "email": Words.email,
    "phone": Words.phone,
    "date": Words.date,
    "month": Words.month,
    "weekday": Words.weekday,
    "time": Words.time,
    "time2": Words.time,
    "percent": Words.percent,
    "product": product,
    "year": lambda w: str(w.rng.randint(1780, 2026)),
    "job": lambda w: w.job().lower(),
    "money": lambda w: w.money(w.amount(2, 90000)),
    "money2": lambda w: w.money(w.amount(1, 90)),
    "weight": lambda w: f"{w.rng.randint(1, 90)} {w.one('kg', 'g', 'pounds')}",
    "distance": lambda w: f"{w.rng.randint(12, 2900)} {w.one('km', 'miles')}",
    "distance2": lambda w: f"{w.rng.randint(40, 2900)} {w.one('m', 'metres', 'feet')}",
    "number": lambda w: w.number(20, w.rng.choice((900, 90000, 3000000))),
    "count": lambda w: str(w.rng.randint(2, 30)),
    "count2": lambda w: str(w.rng.randint(2, 900)),
    "value": lambda w: w.one(str(w.rng.randint(0, 4096)), "true", "none", "0.5", "auto", w.code("0.99")),
    "time3": lambda w: f"{w.rng.randint(2, 59)}:{w.rng.randint(0, 59):02} min",
    "grams": lambda w: f"{w.rng.randint(2, 99) * 10} g",
    "minutes": lambda w: f"{w.rng.randint(5, 90)} minutes",
    "days": lambda w: f"{w.rng.randint(7, 365)} days",
    "temperature": lambda w: f"{w.rng.randint(12, 24) * 10} °C",
    "temperature2": lambda w: f"{w.rng.randint(-30, 9)} °C",
    "speed": lambda w: f"{w.rng.randint(4, 120)} {w.one('km/h', 'mph')}",
    "version": lambda w: f"{w.rng.randint(0, 20)}.{w.rng.randint(0, 30)}.{w.rng.randint(0, 9)}",
    "room": lambda w: w.code(w.rng.choice(("999", "A99", "9.99"))),
    "colour": lambda w: w.one("red", "green", "blue", "black", "white", "yellow", "grey", "orange"),
    "place": lambda w: w.one("museum", "library", "town hall", "theatre", "school", "botanical garden", "observatory", "market", "hospital", "castle", "zoo", "university", "church"),
    "thing": lambda w: w.one("camera", "pump", "lamp", "printer", "drill", "bicycle", "radio", "heater", "clock", "engine", "telescope", "washing machine", "loudspeaker", "sensor", "tent"),
    "event": lambda w: w.one("marathon", "regatta", "chess tournament", "bicycle race", "ski race", "swimming contest", "city run", "rowing race"),
    "title": lambda w: f"{w.one('The', 'A', 'My', 'Our', 'Last', 'Beyond the')} {w.one('Silent', 'Golden', 'Lost', 'Winter', 'Seventh', 'Hidden', 'Broken', 'Northern')} {w.one('River', 'Garden', 'Letter', 'Mountain', 'Clock', 'House', 'Summer', 'Bridge')}",
    "option": lambda w: w.one("--", "-", "") + w.one("max", "cache", "time", "line", "user", "log", "buffer") + w.one("-size", "_width", "-limit", "Count", "_level", "-depth"),
    "items": lambda w: w.one("lines", "users", "books", "cars", "files", "machines", "apples", "messages", "houses", "bottles", "chairs", "tickets"),
    "file": lambda w: w.one("/etc/", "~/.config/", "conf/", "") + w.made_up().lower() + w.one(".conf", ".ini", ".yaml", ".json", "rc", ".toml"),
    "document": lambda w: w.one("form", "report", "contract", "application", "list", "invoice", "photo"),
    "function": lambda w: w.made_up().lower() + w.one("_init", "_count", "Size", ".read", "_free", "") + "()",
    "result": lambda w: w.one("the number of bytes", "a new list", "zero on success", "the name of the user", "a pointer to the node", "true if the file exists", "the length of the string", "the current time", "an empty array"),
    "keys": lambda w: w.one("Ctrl", "Alt", "Shift", "Cmd", "Ctrl+Shift") + "+" + w.one(*"ABCDEFGKLMNPQRSTUW", "F4", "Enter", "Space"),
    "action": lambda w: w.one("save the file", "close the window", "open a new tab", "undo the last step", "print the page", "search the text", "copy the line", "zoom in", "lock the screen"),
    "animal": lambda w: w.one("brown hare", "red fox", "grey seal", "wild goat", "sea otter", "barn owl", "white stork", "tree frog", "fallow deer"),
}  # fmt: skip


def paragraph(words: Words, facts: int) -> tuple[str, list[Ask]]:
    """Sentences with up to `facts` facts that the document has not yet, among filler, and the
    questions about them."""
    rng = words.rng
    sentences: list[str] = []
    asks: list[Ask] = []
    left = [fact for fact in _FACTS[words.language] if fact[0] not in words.told]
    for template, pairs in rng.sample(left, min(facts, len(left))):
        words.told.add(template)
        slots = {name: make(words) for name, make in _SLOTS.items() if f"{{{name}}}" in template}
        if "month" in slots:
            slots["my"] = f"{slots['month']} {slots['year']}"
        sentences.append(template.format(**slots))
        for question, slot in pairs:
            answer = slots[slot] if slot in slots else slot.format(**slots)
            asks.append(Ask("prose", "plain", {"text": question.format(**slots)}, answer))
    if words.language == "en":
        for _ in range(rng.randint(0, 1 + facts // 2)):
            if rng.random() < 0.5 and glossary():
                word, gloss = rng.choice(glossary())
                words.told.add(word)
                sentences.append(f"{word[:1].upper() + word[1:]}{_linked(rng, gloss)}.")
                asks.append(Ask("prose", "about", {"topic": word}, gloss))
            elif examples():
                sentences.append(rng.choice(examples()))
    rng.shuffle(sentences)
    return " ".join(sentences), asks


def _linked(rng: random.Random, gloss: str) -> str:
    return rng.choice((f": {gloss}", f" is {gloss}", f" means {gloss}", f" - {gloss}"))


_HARSH = re.compile(
    r"drug|heroin|cocaine|hash|marij|slang|offens|derog|slur|sex|whore|prostit|kill|murder|rape|nazi"
    r"|negro|nigg|jew|obscen|genital|penis|vagin|faec|feces|urin|slave|suicid|tortur|street name",
    re.IGNORECASE,
)
"""Entries that people need not read while they look at training data."""


@cache
def glossary() -> tuple[tuple[str, str], ...]:
    """Words with short definitions, of WordNet; empty where the package can't be had."""
    pairs = []
    for line in _nouns():
        fields, _, text = line.partition(" | ")
        word = fields.split()[4].replace("_", " ")
        gloss = text.split(";")[0].strip()
        if _HARSH.search(text):
            continue
        if word.isascii() and 15 < len(gloss) < 80 and gloss[0].islower() and "(" not in gloss:
            pairs.append((word, gloss))
    return tuple(pairs)


@cache
def examples() -> tuple[str, ...]:
    """Sentences that show the use of a word, of WordNet."""
    found = []
    for line in _nouns():
        for text in re.findall(r'"([^"]{25,120})"', line):
            if _HARSH.search(text):
                continue
            found.append(text[:1].upper() + text[1:].rstrip(".;,") + ".")
    return tuple(found)


@cache
def _nouns() -> tuple[str, ...]:
    try:
        folder = debian("wordnet-base")
    except UserError:
        return ()
    with (folder / "usr/share/wordnet/data.noun").open(encoding="utf-8") as lines:
        return tuple(line.strip() for line in lines if not line.startswith(" "))
