# ruff: noqa: E501 - tables of words
"""Papers: invoices, receipts, forms, letters, tickets, labels, timetables, menus, lists, posters.

Each maker draws a `Document` from `Words`; layouts are drawn with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from studies.nano.data.documents import (
    Ask,
    Block,
    Column,
    Columns,
    Document,
    Entry,
    Fields,
    Heading,
    Lines,
    Paragraph,
    Table,
    entry,
)
from studies.nano.data.fields import FAMILIES, FIELDS, product
from studies.nano.data.prose import paragraph
from studies.nano.data.words import WEEKDAYS, Words

_TITLES = {
    "invoice": {"en": "Invoice|INVOICE|Tax invoice|Bill|Statement", "de": "Rechnung|RECHNUNG|Rechnungsbeleg", "fr": "Facture|FACTURE", "es": "Factura|FACTURA"},
    "receipt": {"en": "Receipt|RECEIPT|Sales receipt|Thank you|Customer copy", "de": "Kassenbon|Quittung|Beleg", "fr": "Ticket de caisse|Reçu", "es": "Recibo|Ticket|Factura simplificada"},
    "form": {"en": "Application form|Registration form|Personal details|Registration|Enrolment|Data sheet|Request form|Questionnaire|Membership application", "de": "Anmeldung|Antrag|Formular|Anmeldeformular|Personalbogen", "fr": "Formulaire|Demande|Fiche d'inscription|Renseignements", "es": "Formulario|Solicitud|Ficha de inscripción|Datos personales"},
    "ticket": {"en": "Boarding pass|Ticket|Train ticket|Travel document|E-ticket|Booking confirmation|Itinerary", "de": "Fahrkarte|Bordkarte|Ticket|Reiseplan|Buchungsbestätigung", "fr": "Billet|Carte d'embarquement|Confirmation", "es": "Billete|Tarjeta de embarque|Confirmación"},
    "order": {"en": "Order confirmation|Delivery note|Packing list|Purchase order|Quotation|Credit note", "de": "Auftragsbestätigung|Lieferschein|Angebot|Gutschrift", "fr": "Bon de commande|Bon de livraison|Devis", "es": "Pedido|Albarán|Presupuesto"},
    "timetable": {"en": "Timetable|Departures|Arrivals|Bus timetable|Train departures|Schedule", "de": "Fahrplan|Abfahrt|Abfahrten", "fr": "Horaires|Départs", "es": "Horarios|Salidas"},
    "menu": {"en": "Menu|Today's menu|Drinks|Price list|Lunch menu|Our prices", "de": "Speisekarte|Getränke|Preisliste|Tageskarte", "fr": "Menu|Carte|Nos tarifs|Boissons", "es": "Menú|Carta|Lista de precios|Bebidas"},
    "table": {"en": "List of staff|Price list|Inventory|Results|Overview|Contacts|Members|Measurements|Summary|Comparison|Stock", "de": "Übersicht|Liste|Ergebnisse|Bestand|Kontakte", "fr": "Liste|Résultats|Tableau|Inventaire", "es": "Lista|Resultados|Resumen|Inventario"},
}  # fmt: skip
_THANKS = {
    "en": "Thank you for your visit!|Thank you for shopping with us|Please come again|Goods may be returned within 14 days|Keep this receipt|Have a nice day|Prices include VAT|No refunds without receipt|We appreciate your business.",
    "de": "Vielen Dank für Ihren Einkauf!|Es gelten unsere AGB.|Bitte überweisen Sie den Betrag ohne Abzug.|Umtausch nur mit Bon|Auf Wiedersehen",
    "fr": "Merci de votre visite !|À bientôt|Merci et bonne journée|Conservez ce ticket|Pas d'escompte pour paiement anticipé",
    "es": "¡Gracias por su visita!|Conserve este ticket|Gracias por su compra|Vuelva pronto|IVA incluido",
}  # fmt: skip
_LAYOUTS = ("inline", "pair", "pair", "stacked", "form", "header")


def some_fields(words: Words, family: str, low: int, high: int, *, layout: str = "") -> Fields:
    """Between low and high fields of a family, in the order of the family."""
    rng = words.rng
    keys = FAMILIES[family]
    chosen = rng.sample(keys, min(rng.randint(low, high), len(keys)))
    entries = tuple(entry(words, key) for key in keys if key in chosen)
    layout = layout or rng.choice(_LAYOUTS)
    if layout == "header" and (len(entries) > 5 or sum(len(e.value) for e in entries) > 70):
        layout = "pair"
    return Fields(entries, layout, rng.choice((":", ":", ":", "", " -", "")))


def _title(words: Words, kind: str) -> str:
    return words.rng.choice(_TITLES[kind][words.language].split("|"))


def column(words: Words, key: str) -> Column:
    """A table's column of a kind of field."""
    kind = FIELDS[key]
    return Column(key, words.rng.choice(kind.labels[words.language]), kind.nouns[0])


def _address(words: Words, company: str | None = None) -> Lines:
    place = f"{words.postcode()} {words.city()}"
    lines = [company or words.company(), words.street(), place]
    if words.rng.random() < 0.4:
        lines.append(words.country())
    return Lines(tuple(lines))


def _goods(words: Words, low: int, high: int) -> tuple[Table, float]:
    """A table of goods and its sum."""
    rng = words.rng
    columns = {
        "product": column(words, "product"),
        "quantity": column(words, "quantity"),
        "price": column(words, "price"),
        "sum": Column("total", {"en": rng.choice(("Amount", "Line total", "Sum")), "de": rng.choice(("Betrag", "Summe")), "fr": "Montant", "es": "Importe"}[words.language], "amount"),
    }  # fmt: skip
    shown = rng.choice(
        (
            ("product", "quantity", "price", "sum"),
            ("product", "quantity", "price", "sum"),
            ("product", "price"),
            ("product", "quantity", "sum"),
            ("product", "price", "quantity", "sum"),
        )
    )
    rows, total, used = [], 0.0, set()
    for _ in range(rng.randint(low, high)):
        name = product(words)
        if name in used:
            continue
        used.add(name)
        count = rng.choice((1, 1, 1, 2, 2, 3, 4, 5, 10, 12, rng.randint(1, 60)))
        price = words.amount(0.5, rng.choice((30, 90, 900)))
        sums = round(price if shown == ("product", "price") else count * price, 2)
        total += sums
        plain = rng.random() < 0.5
        cells = {
            "product": name,
            "quantity": str(count),
            "price": words.written(price) if plain else words.money(price),
            "sum": words.written(sums) if plain else words.money(sums),
        }
        rows.append(tuple(cells[c] for c in shown))
    header = rng.random() < 0.85
    return Table(tuple(columns[c] for c in shown), tuple(rows), header), round(total, 2)


def _sums(words: Words, total: float, *, extra: tuple[Entry, ...] = ()) -> Fields:
    rng = words.rng
    rate = rng.choice((0.05, 0.07, 0.1, 0.19, 0.2, 0.21))
    entries = []
    if rng.random() < 0.7:
        net = round(total / (1 + rate), 2)
        entries = [
            entry(words, "subtotal", value=words.money(net)),
            entry(words, "tax", value=words.money(total - net)),
        ]
        if rng.random() < 0.4:
            label = entries[1].label
            entries[1] = replace(entries[1], label=f"{label} {round(rate * 100)}%")
    entries.append(entry(words, "total", value=words.money(total)))
    return Fields((*entries, *extra), "pair", rng.choice(("", "", ":")))


def invoice(words: Words) -> Document:
    """Sender and recipient, fields in one or two columns, goods, sums."""
    rng = words.rng
    kind = rng.choice(("invoice", "invoice", "invoice", "order"))
    table, total = _goods(words, 1, rng.choice((4, 9, 18)))
    seller, buyer = words.company(), words.rng.choice((words.company(), words.name()))
    numbers = some_fields(words, "invoice", 3, 8)
    keys = {e.key for e in numbers.entries}
    heading = Heading(_title(words, kind), 0)
    blocks: list[Block] = []
    sender, recipient = _address(words, seller), _address(words, buyer)
    match rng.randrange(4):
        case 0:
            blocks += [Lines(sender.texts), heading, Columns(((recipient,), (numbers,)))]
        case 1:
            blocks += [Columns(((sender,), (heading, numbers))), recipient]
        case 2:
            blocks += [heading, Columns(((sender,), (recipient,))), numbers]
        case _:
            blocks += [sender, recipient, heading, numbers]
    if rng.random() < 0.3:
        blocks.append(Paragraph(_greeting(words)))
    blocks += [table, _sums(words, total)]
    if rng.random() < 0.5:
        left = [
            k for k in ("iban", "bic", "bank", "vat-id", "phone", "email", "terms") if k not in keys
        ]
        footer = tuple(entry(words, k) for k in left if rng.random() < 0.6)
        if footer:
            blocks.append(Fields(footer, rng.choice(("inline", "pair")), ":"))
    if rng.random() < 0.5:
        blocks.append(Lines((rng.choice(_THANKS[words.language].split("|")),), "footer"))
    asks: tuple[Ask, ...] = ()
    if not keys & {"seller", "customer"}:
        asks = (
            Ask("field", "plain", {"text": rng.choice(FIELDS["seller"].asks)}, seller),
            Ask("summary", "summary", {}, f"An invoice from {seller} over {words.money(total)}."),
        )[: 2 if kind == "invoice" else 1]
    return Document(kind="an invoice", language=words.language, blocks=tuple(blocks), asks=asks)


def _greeting(words: Words) -> str:
    return {
        "en": "Dear customer, we thank you for your order and charge you as follows.",
        "de": "Sehr geehrte Damen und Herren, wir erlauben uns, Ihnen folgende Leistungen zu berechnen.",
        "fr": "Madame, Monsieur, veuillez trouver ci-dessous le détail de votre commande.",
        "es": "Estimado cliente, le detallamos a continuación los conceptos facturados.",
    }[words.language]  # fmt: skip


def receipt(words: Words) -> Document:
    """A narrow slip: shop, a few fields, goods with prices at the right, sums, payment."""
    rng = words.rng
    table, total = _goods(words, 1, rng.choice((5, 12, 24)))
    if rng.random() < 0.7:
        table = replace(table, header=False)
    shop = words.company()
    blocks: list[Block] = [
        Lines(
            (shop, words.street(), f"{words.postcode()} {words.city()}")[: rng.randint(1, 3)],
            "sign",
        )
    ]
    if rng.random() < 0.5:
        blocks.append(Heading(_title(words, "receipt"), 0))
    top = some_fields(words, "receipt", 1, 5, layout=rng.choice(("inline", "pair")))
    payment: tuple[Entry, ...] = ()
    if rng.random() < 0.4:
        given = next(
            c for c in (5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10000, 99999999) if c >= total
        )
        payment = (
            entry(words, "cash", value=words.money(given)),
            entry(words, "change", value=words.money(given - total)),
        )
    elif rng.random() < 0.25:
        payment = (entry(words, "tip"),)
    blocks += [top, table, _sums(words, total, extra=payment)]
    if rng.random() < 0.4:
        more = some_fields(words, "receipt", 1, 3, layout="inline")
        taken = {e.key for e in top.entries}
        kept = tuple(e for e in more.entries if e.key not in taken)
        blocks.append(replace(more, entries=kept) if kept else Lines(("* * *",), "footer"))
    if rng.random() < 0.7:
        blocks.append(Lines((rng.choice(_THANKS[words.language].split("|")),), "footer"))
    asks = (
        Ask("field", "plain", {"text": rng.choice(("Which shop is it from?", "What is the name of the shop?", "Where was this bought?", "Which store is this receipt from?", "Shop?", "At which shop was this?"))}, shop),
        Ask("summary", "summary", {}, f"A receipt from {shop} over {words.money(total)}."),
    )  # fmt: skip
    return Document(
        kind="a receipt", language=words.language, blocks=tuple(blocks), asks=asks, narrow=True
    )


def form(words: Words) -> Document:
    """Fields of a family, in one or two columns, filled in."""
    rng = words.rng
    family = rng.choice(
        ("person", "person", "insurance", "hotel", "work", "vehicle", "flat", "event", "letter")
    )
    fields = some_fields(words, family, 4, rng.choice((6, 12, 20)))
    blocks: list[Block] = [Heading(_title(words, "form"), 0)]
    if rng.random() < 0.4:
        blocks.append(
            Paragraph(
                {
                    "en": "Please fill in all fields in block letters.",
                    "de": "Bitte in Druckbuchstaben ausfüllen.",
                    "fr": "Veuillez remplir en lettres capitales.",
                    "es": "Rellene con letra mayúscula.",
                }[words.language]
            )
        )
    if fields.layout != "header" and len(fields.entries) > 5 and rng.random() < 0.5:
        half = len(fields.entries) // 2
        blocks.append(
            Columns(
                (
                    (replace(fields, entries=fields.entries[:half]),),
                    (replace(fields, entries=fields.entries[half:]),),
                )
            )
        )
    else:
        blocks.append(fields)
    if rng.random() < 0.4:
        blocks.append(
            Lines(
                (
                    {"en": "Signature", "de": "Unterschrift", "fr": "Signature", "es": "Firma"}[
                        words.language
                    ],
                ),
                "footer",
            )
        )
    return Document(kind="a form", language=words.language, blocks=tuple(blocks))


def ticket(words: Words) -> Document:
    """A boarding pass, a train ticket, a booking."""
    rng = words.rng
    fields = some_fields(words, "travel", 5, 12)
    blocks: list[Block] = [Heading(_title(words, "ticket"), 0)]
    if rng.random() < 0.4:
        blocks.insert(
            0,
            Lines(
                (f"{words.made_up()} {words.one('Airlines', 'Rail', 'Travel', 'Air', 'Bus')}",),
                "sign",
            ),
        )
    if fields.layout not in ("header",) and rng.random() < 0.5:
        third = -(-len(fields.entries) // 3)
        parts = [fields.entries[i : i + third] for i in range(0, len(fields.entries), third)]
        blocks.append(
            Columns(
                tuple(
                    (replace(fields, entries=part, layout="stacked", separator=""),)
                    for part in parts
                )
            )
        )
    else:
        blocks.append(fields)
    return Document(kind="a ticket", language=words.language, blocks=tuple(blocks))


def label(words: Words) -> Document:
    """The label of a thing, or its data sheet."""
    rng = words.rng
    family = rng.choice(("product", "food", "medicine-box", "vehicle", "book"))
    name = rng.choice((product(words), words.made_up() + words.code(" 999")))
    fields = some_fields(
        words, family, 3, 9, layout=rng.choice(("inline", "pair", "pair", "stacked"))
    )
    kept = tuple(e for e in fields.entries if e.key != "product")
    blocks = (Heading(name, 0), replace(fields, entries=kept or (entry(words, "price"),)))
    return Document(
        kind="a label", language=words.language, blocks=blocks, narrow=rng.random() < 0.5
    )


_TABLES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("name", "table", ("department", "phone", "room", "email", "job", "birthday", "grade", "salary", "city", "member")),
    ("product", "menu", ("price",)),
    ("product", "table", ("price", "quantity", "weight", "colour", "size", "origin", "material", "brand", "lot")),
    ("to", "timetable", ("departure", "platform", "train", "arrival", "duration")),
    ("to", "timetable", ("departure", "gate", "flight", "status")),
    ("city", "table", ("population", "area", "temperature", "humidity", "distance", "postcode", "country")),
    ("file", "table", ("file-size", "modified", "user", "status")),
    ("host", "table", ("ip", "os", "status", "memory", "user", "port")),
    ("model", "table", ("power", "weight", "price", "colour", "year", "warranty", "speed", "voltage")),
    ("country", "table", ("population", "area", "temperature", "quantity")),
    ("product", "table", ("energy", "fat", "sugar", "salt")),
    ("subject", "table", ("room", "start", "end", "chair", "date")),
    ("plate", "table", ("model", "mileage", "price", "year", "colour")),
    ("invoice-number", "table", ("date", "total", "customer", "status", "due-date")),
    ("author", "table", ("year", "publisher", "pages", "price", "isbn", "edition")),
    ("room", "table", ("capacity-people", "area", "chair", "price", "temperature")),
    ("winner", "table", ("score", "date", "location", "year")),
    ("brand", "table", ("price", "capacity", "energy", "origin", "warranty")),
)  # fmt: skip


def table(words: Words, low: int = 2, high: int = 12) -> tuple[str, Table]:
    """A title and a table; its first column names the rows."""
    rng = words.rng
    if rng.random() < 0.18:
        return _figures(words)
    if rng.random() < 0.12:
        return _week(words)
    key, title, others = rng.choice(_TABLES)
    count = 1 if others == ("price",) else rng.randint(1, min(5, len(others)))
    chosen = rng.sample(others, count)
    columns = (column(words, key), *(column(words, c) for c in others if c in chosen))
    rows: dict[str, tuple[str, ...]] = {}
    for _ in range(rng.randint(low, high)):
        cells = tuple(FIELDS[c.key].value(words) for c in columns)
        rows.setdefault(cells[0], cells)
    return _title(words, title), Table(
        columns, tuple(rows.values()), rng.random() < 0.93 or count > 1
    )


def _figures(words: Words) -> tuple[str, Table]:
    """Years, quarters or months as columns of numbers."""
    rng = words.rng
    first = rng.randint(1990, 2024)
    heads = rng.choice(
        (
            [str(first + i) for i in range(5)],
            ["Q1", "Q2", "Q3", "Q4"],
            ["A", "B", "C", "D"],
            ["Mon", "Tue", "Wed", "Thu", "Fri"],
            ["Min", "Mean", "Max"],
        )
    )
    heads = heads[: rng.randint(2, len(heads))]
    key = rng.choice(("country", "city", "department", "product", "name"))
    columns = (
        column(words, key),
        *(
            Column("", h, rng.choice((f"value in {h}", h, f"{h} value")) if h[0].isalnum() else h)
            for h in heads
        ),
    )
    size, digits = rng.choice(((99, 0), (9000, 0), (50, 1), (5, 2), (300000, 0)))
    rows: dict[str, tuple[str, ...]] = {}
    for _ in range(rng.randint(2, 9)):
        name = FIELDS[key].value(words)
        rows.setdefault(name, (name, *(words.number(0, size, digits) for _ in heads)))
    return _title(words, "table"), Table(columns, tuple(rows.values()))


def _week(words: Words) -> tuple[str, Table]:
    """Opening hours, plans and the weather by weekday."""
    rng = words.rng
    keys = rng.choice(
        (
            ("hours",),
            ("subject", "room"),
            ("temperature", "humidity"),
            ("product",),
            ("start", "location"),
            ("chair", "start", "end"),
        )
    )
    head = {"en": "Day", "de": "Tag", "fr": "Jour", "es": "Día"}[words.language]
    columns = (Column("", head, "day"), *(column(words, k) for k in keys))
    days = WEEKDAYS[words.language][: rng.choice((5, 6, 7, 7))]
    rows = tuple((day, *(FIELDS[k].value(words) for k in keys)) for day in days)
    title = {
        "en": rng.choice(("Opening hours", "Weekly plan", "This week", "Schedule")),
        "de": "Wochenplan",
        "fr": "Semaine",
        "es": "Semana",
    }[words.language]
    return title, Table(columns, rows, rng.random() < 0.8)


def list_paper(words: Words) -> Document:
    """A page with one table: a price list, a timetable, a directory."""
    rng = words.rng
    title, found = table(words, 2, rng.choice((6, 12, 28)))
    blocks: list[Block] = [Heading(title, 0)]
    if rng.random() < 0.3:
        blocks.append(some_fields(words, rng.choice(("shop", "event")), 1, 2, layout="inline"))
    blocks.append(found)
    if rng.random() < 0.3:
        blocks.append(Lines((rng.choice(_THANKS[words.language].split("|")),), "footer"))
    return Document(kind="a table", language=words.language, blocks=tuple(blocks))


def letter(words: Words) -> Document:
    """Sender, recipient, date, subject, text, name."""
    rng = words.rng
    sender, receiver, day = words.name(), words.name(), words.date()
    subject = FIELDS["subject"].value(words)
    text, asks = paragraph(words, rng.randint(1, 4))
    dear = {
        "en": f"Dear {receiver},",
        "de": f"Guten Tag {receiver},",
        "fr": f"Bonjour {receiver},",
        "es": f"Estimado/a {receiver}:",
    }[words.language]
    bye = {
        "en": rng.choice(("Yours sincerely,", "Best regards,", "Kind regards,")),
        "de": "Mit freundlichen Grüßen",
        "fr": "Cordialement,",
        "es": "Atentamente,",
    }[words.language]
    blocks = (
        _address(words, sender), _address(words, receiver), Lines((f"{words.city()}, {day}",), "address"),
        Heading(subject, 0), Paragraph(dear), Paragraph(text), Paragraph(bye), Paragraph(sender),
    )  # fmt: skip
    own = (
        Ask("field", "plain", {"text": rng.choice(("Who wrote the letter?", "Who sent this?", "Who is the sender?", "Who signed it?"))}, sender),
        Ask("field", "plain", {"text": rng.choice(("Who is the letter for?", "To whom is it addressed?", "Who gets the letter?", "Who is the recipient?"))}, receiver),
        Ask("field", "plain", {"text": rng.choice(("What is the letter about?", "What is the subject?", "Subject of the letter?"))}, subject),
        Ask("field", "plain", {"text": rng.choice(("When was the letter written?", "What is the date of the letter?", "Date?"))}, day),
    )  # fmt: skip
    return Document(kind="a letter", language=words.language, blocks=blocks, asks=(*asks, *own))


def poster(words: Words) -> Document:
    """An event with when, where and how much."""
    rng = words.rng
    events = {
        "en": "Summer Concert|Flea Market|Open Day|Film Night|Book Fair|City Run|Jazz Evening|Science Week|Art Exhibition|Charity Dinner|Christmas Market|Chess Tournament|Dance Workshop",
        "de": "Sommerfest|Flohmarkt|Tag der offenen Tür|Filmabend|Stadtlauf|Ausstellung|Konzert", "fr": "Concert d'été|Brocante|Portes ouvertes|Exposition|Soirée jazz|Fête de la musique",
        "es": "Concierto de verano|Feria del libro|Mercadillo|Exposición|Noche de cine|Carrera popular",
    }  # fmt: skip
    name = rng.choice(events[words.language].split("|"))
    fields = some_fields(words, "event", 2, 6, layout=rng.choice(("inline", "pair", "stacked")))
    fields = replace(
        fields,
        entries=tuple(e for e in fields.entries if e.key != "subject") or (entry(words, "start"),),
    )
    blocks: list[Block] = [
        Heading(f"{name} {rng.randint(2010, 2029)}" if rng.random() < 0.3 else name, 0),
        fields,
    ]
    return Document(kind="a poster", language=words.language, blocks=tuple(blocks))


def report(words: Words) -> Document:
    """Headings, prose, perhaps a table."""
    rng = words.rng
    names = "Introduction|Background|Results|Method|Summary|Discussion|Overview|History|Requirements|Installation|Usage|Limitations|Outlook|Conclusion|Budget|Staff|Activities|Safety|Maintenance|First steps|Measurements|Materials"
    titles = "Annual Report|User Manual|Project Plan|Minutes of the Meeting|Travel Guide|Field Study|Newsletter|Handbook|House Rules|Case Study|Quarterly Review|Technical Note|Press Release|White Paper"
    blocks: list[Block] = [
        Heading(
            f"{rng.choice(titles.split('|'))} {words.one('', str(rng.randint(1995, 2028)), words.made_up())}".strip(),
            0,
        )
    ]
    asks: list[Ask] = []
    for name in rng.sample(names.split("|"), rng.randint(1, rng.choice((3, 7)))):
        text, found = paragraph(words, rng.randint(1, 6))
        if not text:  # all that the language has is told
            break
        numbered = rng.random() < 0.3
        blocks.append(Heading(f"{len(blocks)}. {name}" if numbered else name, 1))
        blocks.append(Paragraph(text))
        asks += found
    if rng.random() < 0.4:
        blocks.append(table(words, 2, 8)[1])
    if rng.random() < 0.3:
        blocks.append(Lines((str(rng.randint(1, 300)),), "footer"))
    return Document(kind="a page", language=words.language, blocks=tuple(blocks), asks=tuple(asks))


def article(words: Words) -> Document:
    """A report of at least two sections, some with tables: what has parts to count."""
    document = report(words)
    while sum(isinstance(b, Heading) for b in document.blocks) < 3 or len(document.blocks) > 16:
        document = report(Words(words.rng, "en"))
    if words.rng.random() < 0.3:
        document = replace(document, blocks=(*document.blocks, table(words, 2, 6)[1]))
    return document


PAPERS: dict[Callable[[Words], Document], float] = {
    invoice: 3, receipt: 3, form: 3, ticket: 1.5, label: 1.5, list_paper: 3, letter: 1, poster: 0.8,
}  # fmt: skip
"""The makers of papers with their weights."""


def paper(words: Words) -> Document:
    """A paper of any kind."""
    return words.rng.choices(list(PAPERS), list(PAPERS.values()))[0](words)
