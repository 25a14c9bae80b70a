# ruff: noqa: E501 - tables of words
"""Screens: dialogs, settings, lists of files, log-ins, web pages, shops; signs, notices and doors.

As in `papers`, each maker draws a `Document`; `style` of its blocks tells `html` how it looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from studies.nano.data.documents import (
    Ask,
    Block,
    Buttons,
    Choices,
    Columns,
    Document,
    Fields,
    Heading,
    Lines,
    Paragraph,
    entry,
)
from studies.nano.data.fields import product
from studies.nano.data.papers import some_fields, table
from studies.nano.data.prose import paragraph
from studies.nano.data.words import Words

_BUTTONS = {
    "en": "OK|Cancel|Apply|Close|Help|Save|Don't save|Yes|No|Retry|Skip|Next|Back|Finish|Print|Delete|Open|Install|Update now|Later|Sign in|Browse...|Reset|Details|Stop|Continue|Send|Add|Remove|Import",
    "de": "OK|Abbrechen|Übernehmen|Schließen|Hilfe|Speichern|Ja|Nein|Weiter|Zurück|Drucken|Löschen|Öffnen|Später",
    "fr": "OK|Annuler|Appliquer|Fermer|Aide|Enregistrer|Oui|Non|Suivant|Précédent|Imprimer|Supprimer|Ouvrir",
    "es": "Aceptar|Cancelar|Aplicar|Cerrar|Ayuda|Guardar|Sí|No|Siguiente|Atrás|Imprimir|Eliminar|Abrir",
}  # fmt: skip
_WINDOWS = {
    "en": "Preferences|Settings|Properties|Print|Save as|About|Network connection|Display|Sound|User accounts|Software update|Page setup|Export|Import data|File properties|Bluetooth|Printers|Power|Date and time|Find and replace|Insert table|Image size|Login|New message|System information|Backup|Installer|Download manager|Task list",
    "de": "Einstellungen|Eigenschaften|Drucken|Speichern unter|Info|Netzwerk|Anzeige|Benutzerkonten|Aktualisierung|Systeminformation|Datensicherung",
    "fr": "Préférences|Propriétés|Imprimer|Enregistrer sous|À propos|Réseau|Affichage|Comptes|Mise à jour|Informations système",
    "es": "Preferencias|Propiedades|Imprimir|Guardar como|Acerca de|Red|Pantalla|Usuarios|Actualización|Información del sistema",
}  # fmt: skip
_MESSAGES = {
    "en": "Do you want to save the changes to {file}?|The file {file} could not be opened.|{file} already exists. Do you want to replace it?|The connection to {host} was lost.|Are you sure you want to delete {count} items?|There is not enough space on the disk. {count} MB are missing.|The update to version {version} is ready.|Your session expires in {count} minutes.|The printer {name} is out of paper.|Wrong password. {count} attempts left.|{name} has stopped working.|The download of {file} is complete.|Restart now to finish the installation of {name}?|Unable to reach {host}. Error {count}.|{count} files were copied to {name}.|A new version of {name} is available.|Your password will expire in {count} days.|Please insert disk {count}.",
    "de": "Möchten Sie die Änderungen an {file} speichern?|Die Datei {file} wurde nicht gefunden.|Die Verbindung zu {host} wurde getrennt.|{count} Dateien wurden kopiert.|Das Passwort läuft in {count} Tagen ab.",
    "fr": "Voulez-vous enregistrer les modifications de {file} ?|Le fichier {file} est introuvable.|La connexion à {host} a été perdue.|{count} fichiers ont été copiés.",
    "es": "¿Desea guardar los cambios de {file}?|No se encontró el archivo {file}.|Se perdió la conexión con {host}.|Se copiaron {count} archivos.",
}  # fmt: skip
_OPTIONS = {
    "Paper size": "A4|A5|Letter|Legal|A3", "Orientation": "Portrait|Landscape", "Quality": "Low|Medium|High|Best", "View": "List|Icons|Details|Tree",
    "Updates": "Never|Daily|Weekly|Monthly", "Units": "Millimetres|Inches|Pixels|Points", "Sort by": "Name|Size|Date|Type", "Alignment": "Left|Centre|Right|Justified",
    "Colour mode": "Colour|Greyscale|Black and white", "Notifications": "All|Important only|None", "Startup": "Empty page|Last session|Home page", "Delivery": "Standard|Express|Pick up in store",
    "Payment": "Credit card|PayPal|Invoice|Bank transfer", "Privacy": "Public|Friends|Only me", "Format": "PNG|JPEG|TIFF|GIF", "Answer": "Yes|No|Not sure",
}  # fmt: skip
_MENUS = "File|Edit|View|Insert|Format|Tools|Window|Help|Bookmarks|History|Image|Layer|Table|Go|Run"
_NAV = "Home|Products|About us|Contact|News|Blog|Support|Download|Prices|Jobs|Team|FAQ|Shop|Gallery|Documentation|Community|Events"
_SIGNS = {
    "en": "STOP|EXIT|NO PARKING|PUSH|PULL|ENTRANCE|OPEN|CLOSED|SALE|FOR SALE|TO LET|TAXI|BUS STOP|NO SMOKING|NO ENTRY|CAUTION|WET FLOOR|DANGER|HIGH VOLTAGE|KEEP OUT|PRIVATE PROPERTY|BEWARE OF THE DOG|ONE WAY|GIVE WAY|SLOW|DEAD END|ROAD CLOSED|DETOUR|WAY OUT|STAFF ONLY|PLEASE WAIT HERE|MIND THE GAP|RECEPTION|INFORMATION|TOILETS|TICKETS|LIFT|NO SWIMMING|NO DOGS|FISHING PROHIBITED|FRESH EGGS|FREE WIFI|VACANCY|PHARMACY|BAKERY|BARBER SHOP|HOTEL|RESTAURANT|COFFEE TO GO|PICK YOUR OWN STRAWBERRIES|FIRE DOOR KEEP SHUT|MEN AT WORK|CHILDREN CROSSING|SPEED LIMIT {n}|PLATFORM {n}|ROOM {n}|GATE {n}|EXIT {n}|{city} {n} km|{city} {n} miles|Welcome to {city}|{name} Street|{name} Road|{last} Lane|{last} & Sons|Café {name}|Hotel {name}|{last}'s Bakery|Museum of {city}|{name} Park|Max. height {m} m|Max. {n} persons|Open {h} - {i}|Sale {n}% off|Only {money}|Car wash {money}|Parking {money} per hour|Next service {n} km|Bus {n} to {city}|Line {n} {city}|Dr. {last} Dentist|{last} Lawyers|{last} Motors|{name} Theatre|Please ring the bell|Do not feed the birds|Keep off the grass|Mind your head|Visitors please report to reception|Deliveries at the rear|Garage in constant use|Beach closed|Trail {name} {m} km|Cash only|Fresh fish every {day}|Closed on {day}|Lunch {h} to {i}|Summit {k} m|Bridge weight limit {n} t",
    "de": "AUSGANG|EINGANG|HALT|ACHTUNG|VORSICHT STUFE|RAUCHEN VERBOTEN|PARKEN VERBOTEN|Geschlossen|Geöffnet|Einbahnstraße|Umleitung|Apotheke|Bäckerei {last}|{last}straße|{last}weg|Gasthof {name}|{city} {n} km|Gleis {n}|Zimmer {n}|Ausfahrt {n}|Bitte nicht füttern|Betreten verboten|Privatgrundstück|Kasse|Zu vermieten|Ruhetag {day}",
    "fr": "SORTIE|ENTRÉE|ARRÊT|INTERDIT|DÉFENSE DE FUMER|Ouvert|Fermé|Pharmacie|Boulangerie {last}|Rue {last}|Avenue {name}|Hôtel {name}|{city} {n} km|Voie {n}|Salle {n}|Sens unique|Stationnement interdit|Poussez|Tirez|À louer|Fermé le {day}",
    "es": "SALIDA|ENTRADA|ALTO|PROHIBIDO FUMAR|Abierto|Cerrado|Farmacia|Panadería {last}|Calle {last}|Avenida {name}|Hotel {name}|{city} {n} km|Andén {n}|Sala {n}|Empujar|Tirar|Se alquila|Cuidado con el perro|Cerrado los {day}",
}  # fmt: skip


def sign_lines(words: Words) -> tuple[str, ...]:
    """The text of a sign, in one to three lines."""
    rng = words.rng
    texts = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        hours = sorted(rng.sample(range(6, 23), 2))
        texts.append(
            rng.choice(_SIGNS[words.language].split("|")).format(
                n=rng.randint(2, 99),
                m=f"{rng.randint(2, 4)}.{rng.randint(0, 9)}",
                k=rng.randint(300, 4800),
                city=words.city(),
                name=words.made_up(),
                last=words.last_name(),
                money=words.money(words.amount(1, 60)),
                day=words.weekday(),
                h=f"{hours[0]}:00",
                i=f"{hours[1]}:00",
            )
        )
    lines: list[str] = []
    for text in dict.fromkeys(texts):
        parts = text.split()
        wide = len(text) > 18 or (len(parts) > 2 and rng.random() < 0.4)
        cut = (len(parts) + 1) // 2 if wide and len(parts) > 1 else 0
        lines += [" ".join(p) for p in (parts[:cut], parts[cut:]) if p]
    if rng.random() < 0.2:
        lines = [line.upper() for line in lines]
    return tuple(lines)


def sign(words: Words) -> Document:
    """A sign, a door plate, a notice."""
    lines = sign_lines(words)
    key = words.rng.choice(("sign", "transcript"))
    asks = (Ask(key, key, {}, " ".join(lines)),)
    return Document(
        kind="a sign",
        language=words.language,
        blocks=(Lines(lines, "sign"),),
        asks=asks,
        narrow=True,
    )


def _buttons(words: Words, low: int = 1, high: int = 3) -> Buttons:
    options = _BUTTONS[words.language].split("|")
    return Buttons(tuple(words.rng.sample(options, words.rng.randint(low, high))))


def _choices(words: Words) -> Choices:
    label, options = words.rng.choice(list(_OPTIONS.items()))
    texts = tuple(options.split("|"))
    return Choices(
        label,
        texts,
        words.rng.randrange(len(texts)),
        words.rng.choice(("radio", "radio", "select")),
    )


def dialog(words: Words) -> Document:
    """A message with buttons."""
    rng = words.rng
    message = rng.choice(_MESSAGES[words.language].split("|")).format(
        file=words.one("report", "notes", "holiday", "budget", "scan") + words.code("99") + words.one(".pdf", ".txt", ".odt", ".jpg"),
        host=words.made_up().lower() + words.one(".org", ".local", ""), count=rng.randint(2, 60), version=f"{rng.randint(1, 20)}.{rng.randint(0, 9)}", name=words.made_up(),
    )  # fmt: skip
    title = rng.choice(
        (
            rng.choice(_WINDOWS[words.language].split("|")),
            words.made_up(),
            words.one("Error", "Warning", "Question", "Information"),
        )
    )
    blocks: list[Block] = [Heading(title, 0), Paragraph(message)]
    if rng.random() < 0.3:
        blocks.append(some_fields(words, rng.choice(("file", "system")), 1, 3, layout="inline"))
    blocks.append(_buttons(words, 1, 3))
    asks = tuple(
        Ask("transcript", "plain", {"text": text}, message)
        for text in rng.sample(("What does the message say?", "What is the message?", "Read the message.", "What does the dialog say?", "What is the computer telling me?", "Which message is shown?"), 2)
    )  # fmt: skip
    return Document(
        kind="a dialog",
        language=words.language,
        blocks=tuple(blocks),
        asks=asks,
        window=True,
        narrow=True,
    )


def settings(words: Words) -> Document:
    """Fields, choices and buttons in a window."""
    rng = words.rng
    title = rng.choice(_WINDOWS[words.language].split("|"))
    family = rng.choice(("system", "system", "file", "print", "person", "work"))
    blocks: list[Block] = [Heading(title, 0)]
    fields = some_fields(words, family, 3, 9, layout=rng.choice(("pair", "form", "form", "inline")))
    side = Lines(tuple(rng.sample(_WINDOWS[words.language].split("|"), rng.randint(3, 6))), "menu")
    middle: list[Block] = [fields]
    if words.language == "en":
        middle += [_choices(words) for _ in range(rng.choice((0, 1, 1)))]
    if rng.random() < 0.4:
        blocks.append(Columns(((side,), tuple(middle))))
    else:
        blocks += middle
    blocks.append(_buttons(words, 1, 4))
    return Document(
        kind="a settings window", language=words.language, blocks=tuple(blocks), window=True
    )


def list_window(words: Words) -> Document:
    """A program with a menu bar and a table."""
    rng = words.rng
    title, found = table(words, 3, 12)
    blocks: list[Block] = [Heading(f"{title} - {words.made_up()}", 0)]
    if words.language == "en" and rng.random() < 0.6:
        blocks.append(
            Lines((" ".join(rng.sample(_MENUS.split("|"), rng.randint(3, 7))),), "menubar")
        )
    blocks.append(replace(found, header=True))
    if rng.random() < 0.4:
        blocks.append(
            Lines(
                (f"{len(found.rows)} {words.one('items', 'entries', 'objects', 'rows')}",), "footer"
            )
        )
    return Document(
        kind="a program window", language=words.language, blocks=tuple(blocks), window=True
    )


def login(words: Words) -> Document:
    """A short form on a screen."""
    rng = words.rng
    keys = rng.sample(
        ("user", "email", "host", "port", "language", "network", "country", "phone"),
        rng.randint(1, 4),
    )
    name = words.made_up()
    blocks = (
        Heading(words.one(f"Sign in to {name}", f"{name} login", f"Welcome to {name}", f"Create your {name} account"), 0),
        Fields(tuple(entry(words, k) for k in keys), "form", words.one("", ":")), _buttons(words, 1, 2),
    )  # fmt: skip
    return Document(
        kind="a login page", language=words.language, blocks=blocks, window=True, narrow=True
    )


def web_page(words: Words) -> Document:
    """Navigation, a headline, prose, perhaps a table or fields, a footer."""
    rng = words.rng
    blocks: list[Block] = []
    if rng.random() < 0.7:
        blocks.append(Lines((" ".join(rng.sample(_NAV.split("|"), rng.randint(3, 6))),), "menubar"))
    heads = f"Welcome to {words.made_up()}|Our services|The history of {words.city()}|{words.made_up()} {rng.randint(2, 12)} released|Getting started with {words.made_up()}|How to repair a {words.one('bicycle', 'lamp', 'roof', 'pump')}|Visit {words.city()}|News from {words.company()}|Meet {words.name()}|Ten facts about {words.country()}"
    blocks.append(Heading(rng.choice(heads.split("|")), 0))
    text, asks = paragraph(words, rng.randint(1, 4))
    main: list[Block] = [Paragraph(text)]
    if rng.random() < 0.6:
        more, found = paragraph(words, rng.randint(1, 3))
        main += [
            Heading(
                words.one(
                    "Details",
                    "More",
                    "Background",
                    "Contact",
                    "Prices",
                    "Features",
                    "Our team",
                    "Directions",
                ),
                1,
            ),
            Paragraph(more),
        ]
        asks += found
    if rng.random() < 0.4:
        main.append(table(words, 2, 6)[1])
    if rng.random() < 0.4:
        side = some_fields(
            words,
            rng.choice(("shop", "event", "place")),
            2,
            5,
            layout=rng.choice(("inline", "stacked")),
        )
        blocks.append(Columns((tuple(main), (side,))))
    else:
        blocks += main
    if rng.random() < 0.6:
        blocks.append(Lines((f"© {rng.randint(1999, 2026)} {words.company()}",), "footer"))
    return Document(
        kind="a web page", language=words.language, blocks=tuple(blocks), asks=tuple(asks)
    )


def shop(words: Words) -> Document:
    """A thing for sale: name, price, properties, buttons."""
    rng = words.rng
    name = f"{words.made_up()} {product(words)}"
    fields = some_fields(words, "product", 3, 7, layout=rng.choice(("pair", "inline")))
    fields = replace(
        fields,
        entries=tuple(e for e in fields.entries if e.key not in ("product", "price"))
        or (entry(words, "colour"),),
    )
    price = entry(words, "price")
    blocks = (
        Heading(name, 0),
        Fields((price,), "inline", ":"),
        fields,
        Buttons((words.one("Add to cart", "Buy now", "Order", "Add to basket"),)),
    )
    return Document(kind="a shop page", language=words.language, blocks=blocks)


SCREENS: dict[Callable[[Words], Document], float] = {
    dialog: 2, settings: 3, list_window: 3, login: 1, web_page: 3, shop: 1.5,
}  # fmt: skip
"""The makers of screens with their weights."""


def screen(words: Words) -> Document:
    """A screen of any kind."""
    return words.rng.choices(list(SCREENS), list(SCREENS.values()))[0](words)
