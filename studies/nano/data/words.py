# ruff: noqa: E501 - tables of words
"""Words of a document: names, places, amounts, dates and codes in a language, by seed.

A document has one `Words`: its currency, and its way to write dates and amounts.
"""

from __future__ import annotations

import random
import string
from datetime import date, timedelta
from functools import cache

from faker import Faker

LOCALES = {
    "en": ("en_US", "en_GB", "en_IE", "en_CA", "en_AU"),
    "de": ("de_DE", "de_AT", "de_CH"),
    "fr": ("fr_FR", "fr_CH", "fr_CA"),
    "es": ("es_ES", "es_MX", "es_AR"),
}
LANGUAGES = tuple(LOCALES)

_MONTHS = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
}
_CURRENCIES = {
    "en": ("${}", "£{}", "{} USD", "USD {}", "€{}", "{} €", "${}", "{}", "C$ {}", "GBP {}"),
    "de": ("{} €", "{} EUR", "EUR {}", "€ {}", "CHF {}", "{}"),
    "fr": ("{} €", "{}€", "{} EUR", "CHF {}", "{}"),
    "es": ("{} €", "{}€", "{} EUR", "$ {}", "{}"),
}
_DATES = {
    "en": ("{m:02}/{d:02}/{y}", "{d:02}/{m:02}/{y}", "{y}-{m:02}-{d:02}", "{d} {M} {y}",
           "{M} {d}, {y}", "{d:02} {M:.3} {y}", "{M:.3} {d}, {y}", "{d}.{m}.{y}"),
    "de": ("{d:02}.{m:02}.{y}", "{d}. {M} {y}", "{d:02}.{m:02}.{yy:02}", "{y}-{m:02}-{d:02}"),
    "fr": ("{d:02}/{m:02}/{y}", "{d} {M} {y}", "{d:02}-{m:02}-{y}", "{d:02}/{m:02}/{yy:02}"),
    "es": ("{d:02}/{m:02}/{y}", "{d} de {M} de {y}", "{d:02}-{m:02}-{y}", "{d}/{m}/{y}"),
}  # fmt: skip
WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
    "fr": ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
    "es": ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo"),
}


@cache
def _faker(locale: str) -> Faker:
    return Faker(locale)


class Words:
    """What a document in `language` is filled with; every value is drawn from `rng`."""

    def __init__(self, rng: random.Random, language: str | None = None) -> None:
        self.rng = rng
        self.told: set[str] = set()  # facts of prose that the document has already
        self.language = language or rng.choices(LANGUAGES, (64, 14, 12, 10))[0]
        self.faker = _faker(rng.choice(LOCALES[self.language]))
        self.faker.seed_instance(rng.getrandbits(32))
        self._currency = rng.choice(_CURRENCIES[self.language])
        self._date = rng.choice(_DATES[self.language])
        self._decimal = "." if self.language == "en" or rng.random() < 0.1 else ","
        thousands = {".": (",", "", ","), ",": (".", " ", "", "'")}
        self._thousands = rng.choice(thousands[self._decimal])
        self._ampm = self.language == "en" and rng.random() < 0.4

    def name(self) -> str:
        """A person's first and last name."""
        return f"{self.faker.first_name()} {self.faker.last_name()}"

    def last_name(self) -> str:
        return self.faker.last_name()

    def first_name(self) -> str:
        return self.faker.first_name()

    def company(self) -> str:
        kinds = {
            "en": ("Ltd", "Inc.", "LLC", "& Sons", "Group", "Services", "Trading", "Supplies",
                   "Electronics", "Foods", "Studio", "Logistics", "Partners", "Books"),
            "de": ("GmbH", "AG", "KG", "& Söhne", "Handel", "Technik", "Bau", "Verlag", "e.K."),
            "fr": ("SARL", "SA", "& Fils", "Services", "Distribution", "Conseil", "et Cie"),
            "es": ("S.L.", "S.A.", "e Hijos", "Servicios", "Comercial", "Distribuciones"),
        }  # fmt: skip
        first = self.rng.choice((self.faker.last_name(), self.faker.city(), self.made_up()))
        return f"{first} {self.rng.choice(kinds[self.language])}"

    def made_up(self) -> str:
        """A name that is no word of any language: `Velora`, `Quantix`."""
        parts = "al be cor da el fi gra ho in jo ka lu mi no or pa qua ri sol ta ul ve wo xi yo zen"
        ends = "a on ix ia us ex o ium ity ora ent ero ana ic tec"
        syllables = self.rng.sample(parts.split(), self.rng.randint(1, 2))
        return ("".join(syllables) + self.rng.choice(ends.split())).capitalize()

    def street(self) -> str:
        return self.faker.street_address().replace("\n", ", ")

    def city(self) -> str:
        return self.faker.city()

    def postcode(self) -> str:
        return self.faker.postcode()

    def country(self) -> str:
        return self.faker.country()

    def phone(self) -> str:
        return self.faker.phone_number()

    def email(self) -> str:
        name = self.rng.choice((self.first_name(), self.last_name(), "info", "office", "service"))
        host = self.rng.choice((self.made_up(), self.last_name()))
        ascii_only = "".join(c for c in f"{name}@{host}".lower() if c.isascii() and c not in " '")
        return f"{ascii_only}.{self.rng.choice(('com', 'org', 'net', 'de', 'fr', 'es', 'co.uk'))}"

    def website(self) -> str:
        host = "".join(c for c in self.made_up().lower() + self.rng.choice(("", "-shop", "online")))
        return f"www.{host}.{self.rng.choice(('com', 'org', 'net', 'de', 'fr', 'es', 'eu'))}"

    def job(self) -> str:
        return self.faker.job().split("/")[0].split(",")[0].strip()

    def iban(self) -> str:
        iban = self.faker.iban()
        if self.rng.random() < 0.6:
            return " ".join(iban[i : i + 4] for i in range(0, len(iban), 4))
        return iban

    def number(self, low: float, high: float, digits: int = 0) -> str:
        """A number between low and high, written as the document writes numbers."""
        return self.written(self.rng.uniform(low, high), digits)

    def written(self, value: float, digits: int = 2) -> str:
        signs = {",": self._thousands, ".": self._decimal}
        return "".join(signs.get(c, c) for c in f"{value:,.{digits}f}")

    def money(self, value: float, *, digits: int = 2) -> str:
        return self._currency.format(self.written(value, digits))

    def amount(self, low: float = 1.0, high: float = 900.0) -> float:
        """An amount in hundredths; small ones are more frequent."""
        return round(low * (high / low) ** self.rng.random(), 2)

    def percent(self) -> str:
        value = self.rng.choice((5, 7, 10, 19, 20, 21, 15, 2.5, 12.5, self.rng.randint(1, 99)))
        return self.written(value, 0 if value == int(value) else 1) + self.rng.choice(("%", " %"))

    def date(self) -> str:
        day = date(1990, 1, 1) + timedelta(days=self.rng.randrange(14600))
        month = _MONTHS[self.language].split()[day.month - 1]
        return self._date.format(d=day.day, m=day.month, y=day.year, yy=day.year % 100, M=month)

    def month(self) -> str:
        return self.rng.choice(_MONTHS[self.language].split())

    def weekday(self) -> str:
        return self.rng.choice(WEEKDAYS[self.language])

    def time(self) -> str:
        hour, minute = divmod(self.rng.randrange(288) * 5, 60)
        if self._ampm:
            return f"{(hour - 1) % 12 + 1}:{minute:02} {'AM' if hour < 12 else 'PM'}"
        return f"{hour:02}:{minute:02}"

    def code(self, pattern: str) -> str:
        """`A` becomes a letter, `9` a digit, all else stays."""
        table = {"A": string.ascii_uppercase.replace("O", ""), "9": string.digits}
        return "".join(self.rng.choice(table.get(c, c)) for c in pattern)

    def one(self, *options: str) -> str:
        return self.rng.choice(options)
