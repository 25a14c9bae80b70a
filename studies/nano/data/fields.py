# ruff: noqa: E501 - a table, a field a line
"""Fields of documents, forms and screens: how they are labelled, asked for, and filled.

A label is what is printed, by language; a noun is how people ask for it in English.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from studies.nano.data.words import Words


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of field. labels: language -> what is printed, `|` between synonyms. asks: questions
    that people would ask beside those that name the noun."""

    nouns: tuple[str, ...]
    labels: dict[str, tuple[str, ...]]
    value: Callable[[Words], str]
    asks: tuple[str, ...] = ()


def _kind(
    nouns: str,
    en: str,
    de: str,
    fr: str,
    es: str,
    value: Callable[[Words], str],
    asks: str = "",
) -> Kind:
    labels = {"en": en, "de": de, "fr": fr, "es": es}
    return Kind(
        nouns=tuple(nouns.split("|")),
        labels={language: tuple(text.split("|")) for language, text in labels.items()},
        value=value,
        asks=tuple(asks.split("|")) if asks else (),
    )


def _money(low: float, high: float) -> Callable[[Words], str]:
    return lambda w: w.money(w.amount(low, high))


def _code(*patterns: str) -> Callable[[Words], str]:
    return lambda w: w.code(w.rng.choice(patterns))


def _unit(low: float, high: float, *units: str, digits: int = 0) -> Callable[[Words], str]:
    return lambda w: f"{w.number(low, high, digits)} {w.rng.choice(units)}"


def _choice(en: str, de: str = "", fr: str = "", es: str = "") -> Callable[[Words], str]:
    options = {"en": en, "de": de or en, "fr": fr or en, "es": es or en}
    return lambda w: w.rng.choice(options[w.language].split("|"))


FIELDS: dict[str, Kind] = {
    # Business papers.
    "invoice-number": _kind(
        "invoice number|number of the invoice", "Invoice number|Invoice no.|Invoice #|Inv. No.|Bill no.",
        "Rechnungsnummer|Rechnungs-Nr.|Rechnung Nr.", "Numéro de facture|Facture n°|N° facture",
        "Número de factura|Factura n.º|Nº de factura",
        _code("INV-99999", "999999", "99-9999", "AA999999", "9999/99", "R9999999", "FA99999", "2099-99999"),
    ),
    "order-number": _kind(
        "order number|number of the order", "Order number|Order no.|Order #|Order ID|PO number",
        "Bestellnummer|Auftragsnummer|Auftrags-Nr.", "Numéro de commande|Commande n°",
        "Número de pedido|Pedido n.º", _code("99999999", "PO-99999", "AA-99999", "999-9999999-9999999", "B999999"),
    ),
    "customer-number": _kind(
        "customer number|customer ID", "Customer number|Customer no.|Customer ID|Client no.|Account no.",
        "Kundennummer|Kunden-Nr.|Kd.-Nr.", "Numéro de client|N° client|Code client",
        "Número de cliente|N.º de cliente|Cliente n.º", _code("99999", "C-9999", "K999999", "99999999", "AA9999"),
    ),
    "reference": _kind(
        "reference|reference number", "Reference|Your reference|Ref.|Reference no.", "Referenz|Ihr Zeichen|Aktenzeichen",
        "Référence|Votre référence|Réf.", "Referencia|Su referencia|Ref.", _code("AAA-999", "999/AA/99", "A9999-A", "REF 999999"),
    ),
    "date": _kind(
        "date|date of issue", "Date|Date of issue|Issue date|Dated", "Datum|Rechnungsdatum|Ausstellungsdatum",
        "Date|Date d'émission|Date de facture", "Fecha|Fecha de emisión|Fecha de factura", lambda w: w.date(),
        "When was this issued?|What day is this from?|On what date was it written?|Which date is on it?",
    ),
    "due-date": _kind(
        "due date|payment deadline", "Due date|Payment due|Pay by|Due", "Fällig am|Zahlbar bis|Fälligkeitsdatum",
        "Date d'échéance|Échéance|À payer avant le", "Fecha de vencimiento|Vencimiento|Pagar antes de",
        lambda w: w.date(), "By when does it have to be paid?|When is the payment due?|Until when can I pay?",
    ),
    "delivery-date": _kind(
        "delivery date|date of delivery", "Delivery date|Delivered on|Shipping date", "Lieferdatum|Liefertermin|Leistungsdatum",
        "Date de livraison|Livré le", "Fecha de entrega|Entrega", lambda w: w.date(),
        "When was it delivered?|When will it arrive?|On which day is the delivery?",
    ),
    "subtotal": _kind(
        "subtotal|net amount", "Subtotal|Sub-total|Net|Net amount|Sum", "Zwischensumme|Nettobetrag|Netto|Summe netto",
        "Sous-total|Total HT|Montant HT", "Subtotal|Base imponible|Importe neto", _money(5, 5000),
        "How much is it without tax?|What is the sum before tax?",
    ),
    "tax": _kind(
        "tax|VAT|amount of tax", "Tax|VAT|Sales tax|GST|VAT amount", "MwSt.|USt.|Mehrwertsteuer|Umsatzsteuer",
        "TVA|Montant TVA|Taxes", "IVA|Impuestos|Cuota IVA", _money(1, 900),
        "How much tax is charged?|How much VAT was paid?",
    ),
    "total": _kind(
        "total|total amount|amount due|grand total", "Total|Grand total|Total due|Amount due|Balance due|TOTAL|Total amount",
        "Gesamtbetrag|Gesamt|Summe|Endbetrag|Rechnungsbetrag|Zu zahlen", "Total TTC|Total|Montant total|Net à payer|TOTAL",
        "Total|Importe total|Total a pagar|TOTAL", _money(5, 9000),
        "How much is it in total?|How much do I have to pay?|How much was paid altogether?|What does it all cost?|What is the final amount?",
    ),
    "discount": _kind(
        "discount", "Discount|Rebate|Savings", "Rabatt|Skonto|Nachlass", "Remise|Rabais|Réduction", "Descuento|Rebaja",
        _money(1, 200), "How much was taken off the price?|How large is the discount?",
    ),
    "shipping": _kind(
        "shipping cost|delivery charge", "Shipping|Postage|Delivery|Shipping & handling|Freight", "Versand|Versandkosten|Porto",
        "Frais de port|Livraison|Port", "Gastos de envío|Envío|Portes", _money(2, 60),
        "How much does the delivery cost?|What was charged for shipping?",
    ),
    "vat-id": _kind(
        "VAT number|tax ID", "VAT no.|VAT ID|Tax ID|VAT reg. no.", "USt-IdNr.|Steuernummer|USt-ID", "N° TVA|TVA intracom.",
        "NIF|CIF|NIF/CIF", _code("GB999999999", "DE999999999", "FR99999999999", "A99999999", "99/999/99999"),
    ),
    "iban": _kind("IBAN|bank account number", "IBAN", "IBAN", "IBAN", "IBAN", lambda w: w.iban()),
    "bic": _kind("BIC|SWIFT code", "BIC|SWIFT|BIC/SWIFT", "BIC", "BIC|Code BIC", "BIC|SWIFT", _code("AAAADEAA", "AAAAFRAAAAA", "AAAAGB99", "AAAAESAAAAA")),
    "bank": _kind(
        "bank|name of the bank", "Bank|Bank name", "Bank|Bankverbindung", "Banque", "Banco",
        lambda w: w.city() + " " + w.one("Bank", "Savings Bank", "Credit Union", "Trust"), "Which bank is it?|At which bank is the account?",
    ),
    "seller": _kind(
        "seller|vendor|supplier", "Seller|Vendor|From|Supplier|Issued by|Billed by", "Verkäufer|Lieferant|Absender", "Vendeur|Fournisseur|Émetteur",
        "Vendedor|Proveedor|Emisor", lambda w: w.company(), "Which company sent it?|Who issued it?|Who is the seller?|What company is it from?",
    ),
    "customer": _kind(
        "customer|recipient|buyer", "Bill to|Customer|Billed to|Sold to|Client|Recipient", "Kunde|Rechnungsempfänger|Empfänger", "Client|Facturé à|Destinataire",
        "Cliente|Facturar a|Destinatario", lambda w: w.name(), "Who is the customer?|Who has to pay?|Who is it addressed to?|Whose bill is it?",
    ),
    "contact": _kind(
        "contact person|contact", "Contact|Contact person|Your contact|Attn.", "Ansprechpartner|Kontakt|Bearbeiter", "Contact|Votre contact|Interlocuteur",
        "Contacto|Persona de contacto|A la atención de", lambda w: w.name(), "Who is the contact person?|Whom can I contact?|Who should I ask?",
    ),
    "phone": _kind(
        "phone number|telephone number", "Phone|Tel.|Telephone|Phone no.|Call us", "Telefon|Tel.|Rufnummer", "Téléphone|Tél.|Tel", "Teléfono|Tel.|Tfno.",
        lambda w: w.phone(), "Which number can I call?|What number do I dial?|How can I reach them by phone?",
    ),
    "fax": _kind("fax number", "Fax|Fax no.", "Fax|Telefax", "Fax|Télécopie", "Fax", lambda w: w.phone()),
    "email": _kind(
        "email address|e-mail|email", "Email|E-mail|E-Mail address|Mail", "E-Mail|E-Mail-Adresse|Mail", "E-mail|Courriel|Adresse e-mail",
        "Correo electrónico|E-mail|Correo", lambda w: w.email(), "Where can I send an email?|Which email address is given?",
    ),
    "website": _kind(
        "website|web address", "Website|Web|Homepage|Online", "Webseite|Internet|Web", "Site web|Site internet", "Sitio web|Web|Página web",
        lambda w: w.website(), "What is their website?|Where do I find them on the internet?",
    ),
    "payment": _kind(
        "payment method|way of payment", "Payment method|Payment|Paid by|Paid with|Tender", "Zahlungsart|Zahlungsweise|Bezahlt mit", "Mode de paiement|Règlement|Paiement",
        "Forma de pago|Método de pago|Pago", _choice("Credit card|Cash|VISA|Mastercard|Bank transfer|PayPal|Debit card|Cheque|Gift card", "Überweisung|Bar|EC-Karte|Kreditkarte|Lastschrift|PayPal", "Carte bancaire|Espèces|Virement|Chèque|CB", "Tarjeta|Efectivo|Transferencia|Domiciliación|PayPal"),
        "How was it paid?|How is it to be paid?",
    ),
    "terms": _kind(
        "payment terms", "Terms|Payment terms", "Zahlungsziel|Zahlungsbedingungen", "Conditions de paiement|Conditions", "Condiciones de pago|Condiciones",
        _choice("Net 30|30 days|14 days net|Due on receipt|60 days", "14 Tage netto|30 Tage|sofort|10 Tage", "30 jours|à réception|45 jours fin de mois", "30 días|al contado|60 días"),
    ),
    "quantity": _kind("quantity|number of pieces", "Quantity|Qty|Pieces|Units", "Menge|Anzahl|Stück", "Quantité|Qté", "Cantidad|Cant.|Unidades", lambda w: str(w.rng.randint(1, 400)), "How many pieces are there?|How many were ordered?"),
    # Receipts.
    "cashier": _kind("cashier|name of the cashier", "Cashier|Served by|Clerk|Operator|Your server", "Kassierer|Es bediente Sie|Bediener", "Caissier|Servi par|Hôte de caisse", "Cajero|Le atendió|Atendido por", lambda w: w.first_name(), "Who was the cashier?|Who served the customer?"),
    "table-number": _kind("table number|table", "Table|Table no.", "Tisch|Tisch-Nr.", "Table|N° table", "Mesa|Mesa n.º", lambda w: str(w.rng.randint(1, 60)), "Which table was it?|At which table did they sit?"),
    "cash": _kind("cash given|amount of cash", "Cash|Cash tendered|Amount given", "Bar|Gegeben|Bargeld", "Espèces|Montant reçu", "Efectivo|Entregado", _money(10, 300), "How much cash was handed over?"),
    "change": _kind("change|change given", "Change|Change due|CHANGE", "Rückgeld|Wechselgeld", "Rendu|Monnaie|A rendre", "Cambio|Vuelta|Su cambio", _money(0.2, 60), "How much change was given back?|How much change did the customer get?"),
    "tip": _kind("tip", "Tip|Gratuity|Service charge", "Trinkgeld|Bedienung", "Pourboire|Service", "Propina|Servicio", _money(1, 40), "How much was the tip?"),
    "receipt-number": _kind("receipt number|receipt no.", "Receipt no.|Receipt #|Ticket no.|Trans. no.", "Bon-Nr.|Beleg-Nr.|Belegnummer", "Ticket n°|N° ticket", "Ticket n.º|N.º de recibo", _code("9999", "999999", "99-999999", "#99999")),
    "card": _kind("card number|card", "Card no.|Card|Account", "Karten-Nr.|Karte", "Carte|N° carte", "Tarjeta n.º|Tarjeta", _code("**** **** **** 9999", "XXXXXXXXXXXX9999", "************9999")),
    "till": _kind("till number|register", "Till|Register|Terminal|POS", "Kasse|Terminal", "Caisse|Terminal", "Caja|Terminal", lambda w: str(w.rng.randint(1, 40))),
    "items": _kind("number of items", "Items|Item count|No. of items|Items sold", "Artikel|Anzahl Artikel|Positionen", "Articles|Nb d'articles", "Artículos|N.º de artículos", lambda w: str(w.rng.randint(1, 60)), "How many items were bought?"),
    "store": _kind("store number|shop", "Store|Store no.|Branch|Shop", "Filiale|Markt", "Magasin", "Tienda|Sucursal", _code("999", "9999", "#99")),
    # People and forms.
    "name": _kind("name|full name", "Name|Full name|Your name", "Name|Vor- und Nachname", "Nom|Nom et prénom", "Nombre|Nombre y apellidos", lambda w: w.name(), "Whose name is on the form?|Who filled it in?|Which name is given?"),
    "first-name": _kind("first name|given name", "First name|Given name|Forename", "Vorname", "Prénom", "Nombre de pila", lambda w: w.first_name()),
    "surname": _kind("last name|surname|family name", "Last name|Surname|Family name", "Nachname|Familienname", "Nom de famille", "Apellido|Apellidos", lambda w: w.last_name()),
    "birthday": _kind("date of birth|birthday", "Date of birth|Born|DOB|Birth date", "Geburtsdatum|Geboren am|Geb.", "Date de naissance|Né(e) le", "Fecha de nacimiento|Nacido el", lambda w: w.date(), "When was the person born?|On which day were they born?"),
    "birthplace": _kind("place of birth|birthplace", "Place of birth|Birthplace", "Geburtsort", "Lieu de naissance|Né(e) à", "Lugar de nacimiento", lambda w: w.city(), "Where was the person born?|In which town were they born?"),
    "nationality": _kind("nationality|citizenship", "Nationality|Citizenship", "Staatsangehörigkeit|Nationalität", "Nationalité", "Nacionalidad", _choice("British|American|Irish|German|French|Italian|Polish|Indian|Canadian", "deutsch|österreichisch|italienisch|polnisch|türkisch", "française|belge|suisse|italienne|portugaise", "española|mexicana|argentina|italiana|chilena")),
    "passport": _kind("passport number|document number", "Passport no.|Document no.|ID number|ID no.", "Passnummer|Ausweisnummer", "N° de passeport|N° d'identité", "N.º de pasaporte|DNI", _code("A99999999", "AA9999999", "999999999", "99999999A")),
    "address": _kind("address|street", "Address|Street|Street address|Home address", "Adresse|Straße|Anschrift", "Adresse|Rue", "Dirección|Domicilio|Calle", lambda w: w.street(), "Where does the person live?|In which street is it?|What street address is given?"),
    "city": _kind("city|town", "City|Town|City / Town", "Ort|Stadt|Wohnort", "Ville|Localité", "Ciudad|Localidad|Población", lambda w: w.city(), "Which city is given?|In which town is it?"),
    "postcode": _kind("postcode|postal code|zip code", "Postcode|ZIP code|Postal code|ZIP", "PLZ|Postleitzahl", "Code postal|CP", "Código postal|C.P.", lambda w: w.postcode()),
    "country": _kind("country", "Country|Country of residence", "Land|Staat", "Pays", "País", lambda w: w.country(), "Which country is given?|In which country?"),
    "job": _kind("job|occupation|profession|job title", "Occupation|Job title|Profession|Position", "Beruf|Position|Tätigkeit", "Profession|Poste|Fonction", "Profesión|Puesto|Cargo", lambda w: w.job(), "What does the person work as?|What job does the person have?"),
    "employer": _kind("employer|company", "Employer|Company|Organisation", "Arbeitgeber|Firma", "Employeur|Société|Entreprise", "Empresa|Empleador", lambda w: w.company(), "Which company does the person work for?|Where does the person work?"),
    "department": _kind("department", "Department|Dept.|Unit", "Abteilung", "Service|Département", "Departamento|Sección", _choice("Sales|Research|Human Resources|Accounting|Marketing|Legal|IT Support|Purchasing|Radiology", "Vertrieb|Einkauf|Buchhaltung|Forschung|Personal", "Ventes|Comptabilité|Achats|Recherche|Juridique", "Ventas|Contabilidad|Compras|Recursos Humanos|Calidad"), "Which department is it?|In which department?"),
    "room": _kind("room|room number", "Room|Room no.|Office|Classroom", "Raum|Zimmer|Zimmer-Nr.", "Salle|Chambre|Bureau", "Sala|Habitación|Aula", _code("999", "A99", "9.99", "A9-99", "B 99"), "Which room is it?|In which room does it take place?"),
    "marital": _kind("marital status", "Marital status|Civil status", "Familienstand", "Situation familiale|État civil", "Estado civil", _choice("single|married|divorced|widowed", "ledig|verheiratet|geschieden|verwitwet", "célibataire|marié|divorcé|veuf", "soltero|casado|divorciado|viudo")),
    "height": _kind("height", "Height|Body height", "Größe|Körpergröße", "Taille", "Estatura|Altura", _unit(140, 205, "cm"), "How tall is the person?"),
    "gender-neutral-title": _kind("form of address|title of the person", "Title|Salutation", "Anrede", "Civilité", "Tratamiento", _choice("Dr|Prof.|Mr|Ms|Mx", "Frau|Herr|Dr.", "Mme|M.|Dr", "Sra.|Sr.|Dra.")),
    "language": _kind("language", "Language|Preferred language|Display language", "Sprache", "Langue", "Idioma", _choice("English|German|French|Spanish|Italian|Dutch|Polish|Czech|Japanese", "Deutsch|Englisch|Französisch|Polnisch", "français|anglais|allemand|italien", "español|inglés|francés|alemán"), "Which language is set?|Which language is chosen?"),
    "school": _kind("school|university", "School|University|College", "Schule|Hochschule", "École|Université", "Escuela|Universidad|Colegio", lambda w: w.one("University of {}", "{} College", "{} High School", "St. {} School", "Institut {}").format(w.city()), "Which school is named?|Where did the person study?"),
    "grade": _kind("grade|mark", "Grade|Mark|Result|Score", "Note|Ergebnis", "Note|Mention|Résultat", "Nota|Calificación", lambda w: w.one("A", "B+", "C", "A-", "1.3", "2.7", "14/20", "8,5", "87 %", "95/100"), "Which grade was given?|How good was the result?"),
    "policy": _kind("policy number|insurance number", "Policy no.|Policy number|Insurance no.", "Versicherungsnummer|Policen-Nr.", "N° de police|N° d'assuré", "N.º de póliza|Póliza", _code("AA-999999", "99.999999.9", "A999999999", "999-99-9999")),
    "member": _kind("membership number|member ID", "Member no.|Membership no.|Member ID", "Mitgliedsnummer|Mitglieds-Nr.", "N° d'adhérent|N° de membre", "N.º de socio|Socio", _code("99999", "M-99999", "9999 9999")),
    # Travel.
    "flight": _kind("flight number|flight", "Flight|Flight no.|Flight number", "Flug|Flugnummer", "Vol|N° de vol", "Vuelo|N.º de vuelo", _code("AA 999", "AA9999", "A9 999", "AA 99"), "Which flight is it?"),
    "gate": _kind("gate", "Gate|GATE", "Gate|Flugsteig", "Porte", "Puerta", _code("A99", "B9", "C99", "99", "D9"), "Which gate does it leave from?|What gate do I go to?"),
    "seat": _kind("seat|seat number", "Seat|Seat no.|SEAT", "Sitz|Sitzplatz|Platz", "Siège|Place", "Asiento|Plaza", _code("99A", "9A", "A99", "99"), "Where do I sit?|Which seat is it?"),
    "platform": _kind("platform|track", "Platform|Track|Plat.", "Gleis|Bahnsteig", "Voie|Quai", "Andén|Vía", lambda w: str(w.rng.randint(1, 24)) + w.one("", "", "", "a", "b"), "From which platform does it leave?|Which platform is it?"),
    "train": _kind("train number|train", "Train|Train no.|Service", "Zug|Zugnummer", "Train|Train n°", "Tren|Tren n.º", _code("IC 999", "ICE 99", "RE 9", "TGV 9999", "AVE 99999", "S9", "EC 99")),
    "departure": _kind("departure time|time of departure", "Departure|Departs|Dep.|Leaves at", "Abfahrt|Abflug|Ab", "Départ|Heure de départ", "Salida|Hora de salida", lambda w: w.time(), "When does it leave?|At what time does it depart?|What time do we set off?"),
    "arrival": _kind("arrival time|time of arrival", "Arrival|Arrives|Arr.", "Ankunft|An", "Arrivée|Heure d'arrivée", "Llegada|Hora de llegada", lambda w: w.time(), "When does it arrive?|At what time does it get there?"),
    "from": _kind("origin|place of departure", "From|Origin|Departing from", "Von|Start|Abfahrtsort", "De|Origine", "Origen|Desde", lambda w: w.city(), "Where does the journey start?|Where does it leave from?"),
    "to": _kind("destination", "To|Destination|Going to", "Nach|Ziel|Zielort", "À|Destination", "Destino|Hasta", lambda w: w.city(), "Where does it go?|Where does the journey end?|Where are they travelling to?"),
    "passenger": _kind("passenger|name of the passenger", "Passenger|Passenger name|Traveller", "Reisender|Fahrgast|Passagier", "Passager|Voyageur", "Pasajero|Viajero", lambda w: w.name(), "Who is travelling?|Who is the passenger?"),
    "booking": _kind("booking code|booking reference", "Booking ref.|Booking code|PNR|Confirmation no.", "Buchungscode|Buchungsnummer", "Référence de réservation|Dossier", "Localizador|Código de reserva", _code("AAAAAA", "A9A9AA", "AA9999", "9999999")),
    "class": _kind("class|travel class", "Class|Travel class|Cabin", "Klasse", "Classe", "Clase", _choice("Economy|Business|First|2nd|1st|Premium", "1. Klasse|2. Klasse", "1re|2e|Éco|Affaires", "Turista|Preferente|Business")),
    "boarding": _kind("boarding time", "Boarding|Boarding time", "Boarding|Einsteigen", "Embarquement", "Embarque|Hora de embarque", lambda w: w.time(), "When does boarding start?|When do passengers board?"),
    "check-in": _kind("check-in date|check-in", "Check-in|Arrival date", "Anreise|Check-in", "Arrivée le|Check-in", "Entrada|Check-in", lambda w: w.date(), "On which day is check-in?"),
    "check-out": _kind("check-out date|check-out", "Check-out|Departure date", "Abreise|Check-out", "Départ le|Check-out", "Salida el|Check-out", lambda w: w.date(), "On which day is check-out?"),
    "nights": _kind("number of nights", "Nights|No. of nights", "Nächte|Übernachtungen", "Nuits|Nuitées", "Noches", lambda w: str(w.rng.randint(1, 21)), "How many nights is the stay?|How long is the stay?"),
    "distance": _kind("distance", "Distance|Length", "Entfernung|Strecke", "Distance", "Distancia", _unit(1, 999, "km", "miles", "m"), "How far is it?"),
    "duration": _kind("duration", "Duration|Travel time|Time needed|Length of stay", "Dauer|Fahrzeit", "Durée", "Duración", lambda w: w.one(f"{w.rng.randint(1, 14)} h {w.rng.randint(1, 59)} min", f"{w.rng.randint(5, 180)} min", f"{w.rng.randint(2, 12)} hours"), "How long does it take?|How long is it?"),
    # Things.
    "product": _kind("product|product name|item", "Product|Item|Article|Description", "Produkt|Artikel|Bezeichnung", "Produit|Article|Désignation", "Producto|Artículo|Descripción", lambda w: product(w), "What is the product called?|Which product is it?|What is being sold?"),
    "brand": _kind("brand|manufacturer|maker", "Brand|Manufacturer|Made by|Maker", "Marke|Hersteller", "Marque|Fabricant", "Marca|Fabricante", lambda w: w.made_up(), "Which company makes it?|What brand is it?"),
    "model": _kind("model|model number", "Model|Model no.|Type", "Modell|Typ|Modell-Nr.", "Modèle|Type", "Modelo|Tipo", _code("AA-999", "A9999", "AAA 99", "99A-9", "AA99 Pro", "A9 Plus")),
    "serial": _kind("serial number", "Serial no.|S/N|Serial number|SN", "Seriennummer|Serien-Nr.", "N° de série|Numéro de série", "N.º de serie|Número de serie", _code("A99A999999", "999999999999", "SN-99999-AA", "AA99999999", "99AA9999")),
    "colour": _kind("colour|color", "Colour|Color|Finish", "Farbe", "Couleur|Coloris", "Color", _choice("red|blue|green|black|white|silver|dark grey|yellow|brown|orange|navy", "rot|blau|grün|schwarz|weiß|silber|gelb|braun", "rouge|bleu|vert|noir|blanc|gris|jaune", "rojo|azul|verde|negro|blanco|gris|amarillo"), "What colour is it?|Which colour was chosen?"),
    "weight": _kind("weight", "Weight|Net weight|Gross weight|Mass", "Gewicht|Nettogewicht", "Poids|Poids net", "Peso|Peso neto", lambda w: w.one(f"{w.number(1, 90, 1)} kg", f"{w.rng.randint(50, 950)} g", f"{w.rng.randint(1, 60)} lb", f"{w.rng.randint(2, 40)} kg"), "How heavy is it?|How much does it weigh?"),
    "size": _kind("size|dimensions", "Size|Dimensions|Measures|W x H x D", "Größe|Maße|Abmessungen", "Dimensions|Format", "Tamaño|Dimensiones|Medidas", lambda w: w.one(f"{w.rng.randint(5, 200)} x {w.rng.randint(5, 200)} cm", f"{w.rng.randint(5, 99)} x {w.rng.randint(5, 99)} x {w.rng.randint(5, 99)} mm", "XL", "M", "S", "42", "38.5", "A4"), "How big is it?|What size is it?"),
    "price": _kind("price", "Price|Unit price|Our price|Cost|RRP", "Preis|Stückpreis|Einzelpreis", "Prix|Prix unitaire", "Precio|Precio unitario", _money(1, 2000), "How much does it cost?|What does it cost?|How expensive is it?"),
    "deposit": _kind("deposit", "Deposit|Down payment", "Pfand|Kaution|Anzahlung", "Consigne|Caution|Acompte", "Depósito|Fianza", _money(0.1, 500), "How much is the deposit?"),
    "material": _kind("material", "Material|Fabric|Made of", "Material", "Matière|Matériau", "Material|Tejido", _choice("cotton|steel|oak|100 % wool|aluminium|plastic|glass|leather|bamboo", "Baumwolle|Stahl|Eiche|Leder|Glas|Kunststoff", "coton|acier|chêne|cuir|verre", "algodón|acero|roble|cuero|vidrio"), "What is it made of?"),
    "origin": _kind("country of origin|origin", "Origin|Made in|Country of origin|Produced in", "Herkunft|Hergestellt in|Ursprungsland", "Origine|Pays d'origine|Fabriqué en", "País de origen|Procedencia|Fabricado en", lambda w: w.country(), "Where was it made?|Where does it come from?"),
    "best-before": _kind("best before date|expiry date|use-by date", "Best before|Use by|Expires|Expiry date|EXP|Valid until", "Mindestens haltbar bis|Gültig bis|MHD", "À consommer avant le|Expire le|Valable jusqu'au", "Consumir antes de|Caduca|Válido hasta", lambda w: w.date(), "Until when is it good?|When does it expire?|How long is it valid?"),
    "lot": _kind("lot number|batch number", "Lot|Batch no.|LOT|Batch", "Charge|Los-Nr.|Chargennummer", "Lot|N° de lot", "Lote|N.º de lote", _code("L9999", "999A99", "LA-99999", "A99-99")),
    "warranty": _kind("warranty|guarantee", "Warranty|Guarantee", "Garantie|Gewährleistung", "Garantie", "Garantía", lambda w: f"{w.rng.choice((1, 2, 3, 5, 10, 12, 24, 36))} " + _choice("years|months", "Jahre|Monate", "ans|mois", "años|meses")(w), "How long is the warranty?"),
    "power": _kind("power|power consumption", "Power|Power consumption|Rated power|Wattage", "Leistung|Leistungsaufnahme", "Puissance", "Potencia|Consumo", _unit(3, 2400, "W"), "How many watts does it need?|How much power does it draw?"),
    "voltage": _kind("voltage", "Voltage|Input|Supply voltage", "Spannung", "Tension", "Tensión|Voltaje", lambda w: w.one("230 V", "12 V", "5 V", "110 V", "24 V DC", "3.3 V", "400 V", "100-240 V")),
    "capacity": _kind("capacity|volume", "Capacity|Volume|Content|Contents", "Inhalt|Fassungsvermögen|Volumen", "Capacité|Contenance|Volume", "Capacidad|Contenido|Volumen", lambda w: w.one(f"{w.rng.randint(100, 990)} ml", f"{w.number(0.5, 60, 1)} l", f"{w.rng.randint(2, 64)} GB", f"{w.rng.randint(5, 300)} persons"), "How much fits in?|How much does it hold?"),
    "energy": _kind("energy|calories", "Energy|Calories|Calorific value", "Brennwert|Energie", "Énergie|Valeur énergétique", "Energía|Valor energético|Calorías", _unit(12, 900, "kcal", "kJ"), "How many calories does it have?"),
    "fat": _kind("fat content|fat", "Fat|Total fat", "Fett", "Matières grasses|Lipides", "Grasas", _unit(0.1, 60, "g", digits=1), "How much fat is in it?"),
    "sugar": _kind("sugar content|sugar", "Sugars|of which sugars|Sugar", "Zucker|davon Zucker", "Sucres|dont sucres", "Azúcares|de los cuales azúcares", _unit(0.1, 70, "g", digits=1), "How much sugar is in it?"),
    "salt": _kind("salt content|salt", "Salt|Sodium", "Salz", "Sel", "Sal", _unit(0.01, 6, "g", digits=2), "How much salt is in it?"),
    "temperature": _kind("temperature", "Temperature|Temp.|Store at|Oven temperature", "Temperatur|Lagern bei", "Température", "Temperatura|Conservar a", lambda w: w.one(f"{w.rng.randint(-25, 40)} °C", f"{w.rng.randint(20, 110)} °F", f"{w.number(-9, 39, 1)} °C"), "How hot is it?|How warm or cold is it?"),
    "humidity": _kind("humidity", "Humidity|Rel. humidity", "Luftfeuchtigkeit|Feuchte", "Humidité", "Humedad", lambda w: f"{w.rng.randint(8, 99)} %"),
    "pressure": _kind("pressure", "Pressure|Air pressure", "Druck|Luftdruck", "Pression", "Presión", _unit(1, 1040, "hPa", "bar", "psi")),
    "speed": _kind("speed", "Speed|Max. speed|Top speed|Wind speed", "Geschwindigkeit|Tempo", "Vitesse", "Velocidad", _unit(1, 320, "km/h", "mph", "m/s"), "How fast is it?"),
    "dose": _kind("dose|dosage", "Dose|Dosage|Directions", "Dosierung|Dosis", "Posologie|Dose", "Dosis|Posología", lambda w: w.one(f"{w.rng.randint(1, 3)} x daily", f"{w.rng.choice((5, 10, 20, 50, 100, 250, 500))} mg", f"{w.rng.randint(5, 30)} drops", f"{w.rng.randint(2, 20)} ml"), "How much should be taken?"),
    "plate": _kind("licence plate|registration number|number plate", "Reg. no.|Licence plate|Number plate|Registration", "Kennzeichen", "Immatriculation|Plaque", "Matrícula", _code("AA99 AAA", "A-AA 999", "AA-999-AA", "9999 AAA", "AAA 999")),
    "mileage": _kind("mileage|odometer reading", "Mileage|Odometer|Kilometres", "Kilometerstand|Laufleistung", "Kilométrage", "Kilometraje", _unit(900, 240000, "km", "mi"), "How many kilometres has it driven?"),
    # Computers.
    "version": _kind("version|version number", "Version|Ver.|Release|Firmware|Current version", "Version|Firmware", "Version", "Versión", lambda w: w.one(f"{w.rng.randint(0, 24)}.{w.rng.randint(0, 20)}.{w.rng.randint(0, 30)}", f"{w.rng.randint(1, 12)}.{w.rng.randint(0, 9)}", f"v{w.rng.randint(1, 9)}.{w.rng.randint(0, 99)}"), "Which version is it?|Which version is installed?"),
    "licence": _kind("licence|license", "License|Licence|Licensed under", "Lizenz", "Licence", "Licencia", lambda w: w.one("MIT", "GPL-3.0", "Apache-2.0", "BSD-3-Clause", "LGPL-2.1", "MPL-2.0", "Trial", "Freeware", "CC BY 4.0"), "Under which licence is it?"),
    "file": _kind("file name|file", "File name|File|Filename|Document", "Dateiname|Datei", "Nom du fichier|Fichier", "Nombre de archivo|Archivo", lambda w: w.one("report", "holiday", "IMG_", "backup", "notes", "scan", "budget", "letter", "data") + w.one("", "_final", "-2", w.code("9999"), w.code("_99")) + w.one(".pdf", ".docx", ".jpg", ".zip", ".txt", ".csv", ".odt", ".png", ".mp3"), "What is the file called?|Which file is it?"),
    "folder": _kind("folder|directory|path", "Folder|Location|Save in|Path|Directory", "Ordner|Speicherort|Pfad", "Dossier|Emplacement|Chemin", "Carpeta|Ubicación|Ruta", lambda w: w.one("/home/", "C:\\Users\\", "/var/", "~/") + w.first_name().lower().replace(" ", "") + w.one("/Documents", "/Pictures", "/Downloads", "\\Desktop", "/backup"), "Where is it saved?|In which folder is it?"),
    "file-size": _kind("file size|size of the file", "File size|Size on disk|Download size", "Dateigröße", "Taille du fichier", "Tamaño del archivo", lambda w: w.number(1, 990, w.rng.choice((0, 1))) + w.one(" KB", " MB", " GB", " kB"), "How large is the file?|How big is the download?"),
    "modified": _kind("modification date|date of the last change", "Modified|Last modified|Last changed|Updated", "Geändert|Zuletzt geändert", "Modifié le|Dernière modification", "Modificado|Última modificación", lambda w: w.date(), "When was it last changed?|When was it modified?"),
    "user": _kind("user name|username|user", "User name|Username|User|Login|Account name", "Benutzername|Benutzer|Anmeldename", "Nom d'utilisateur|Identifiant|Utilisateur", "Nombre de usuario|Usuario", lambda w: w.one(w.first_name().lower(), w.last_name().lower() + w.code("99"), w.code("user99"), w.made_up().lower()), "Who is logged in?|Which user is it?"),
    "ip": _kind("IP address", "IP address|IPv4|IP|Host address", "IP-Adresse|IP", "Adresse IP|IP", "Dirección IP|IP", lambda w: ".".join(str(w.rng.randint(1, 254)) for _ in range(4))),
    "port": _kind("port|port number", "Port|Server port|TCP port", "Port", "Port", "Puerto", lambda w: w.one("80", "443", "8080", "22", "5432", "3306", "993", w.code("9999"))),
    "host": _kind("host name|server", "Host|Server|Hostname|Server name", "Server|Rechnername", "Serveur|Nom d'hôte", "Servidor|Nombre del equipo", lambda w: w.made_up().lower() + w.one("-01", ".local", ".example.org", "-server", "")),
    "network": _kind("network|network name|Wi-Fi name", "Network|Wi-Fi|SSID|Network name", "Netzwerk|WLAN", "Réseau|Wi-Fi", "Red|Wi-Fi", lambda w: w.one(w.made_up(), w.last_name()) + w.one("-Guest", "_5G", "Net", " WLAN", ""), "Which network is it connected to?"),
    "wifi-password": _kind("password|Wi-Fi password", "Password|Wi-Fi password|Passphrase|Network key", "Passwort|WLAN-Schlüssel", "Mot de passe|Clé Wi-Fi", "Contraseña|Clave wifi", _code("AA99aa99", "sunny-99-tree", "99998888", "A9A9-A9A9"), "How do I get into the Wi-Fi?"),
    "os": _kind("operating system", "Operating system|OS|System|Platform", "Betriebssystem", "Système|Système d'exploitation", "Sistema operativo|Sistema", lambda w: w.one("Debian 12", "Ubuntu 24.04", "Windows 11", "macOS 14", "Fedora 40", "Android 14", "FreeBSD 14"), "Which operating system is running?"),
    "processor": _kind("processor|CPU", "Processor|CPU", "Prozessor", "Processeur", "Procesador", lambda w: w.made_up() + w.code(" 9999") + w.one(" @ 2.4 GHz", "X", " 8-core", ""), "Which processor is built in?"),
    "memory": _kind("memory|amount of memory|RAM", "Memory|RAM|Installed memory", "Arbeitsspeicher|Speicher", "Mémoire|Mémoire vive", "Memoria|Memoria RAM", lambda w: w.one("4", "8", "16", "32", "64", "7.7", "15.5") + w.one(" GB", " GiB"), "How much memory does it have?"),
    "resolution": _kind("resolution|screen resolution", "Resolution|Screen resolution|Display", "Auflösung", "Résolution", "Resolución", lambda w: w.one("1920 x 1080", "1280 x 800", "2560 × 1440", "3840 x 2160", "1366 x 768", "640 × 480")),
    "status": _kind("status", "Status|State|Current status", "Status|Zustand", "Statut|État", "Estado", _choice("Connected|Offline|Running|Paused|Completed|Pending|Open|Shipped|Approved|Cancelled|Error", "verbunden|getrennt|abgeschlossen|offen|in Bearbeitung", "connecté|terminé|en cours|en attente", "conectado|terminado|en curso|pendiente"), "What is the status?|Is it running or finished?"),
    "free-space": _kind("free space|space left", "Free space|Available|Space left|Free", "Frei|Freier Speicher", "Espace libre|Disponible", "Espacio libre|Disponible", lambda w: w.number(1, 900, w.rng.choice((0, 1))) + w.one(" GB", " MB", " GiB", " TB"), "How much space is left?|How much room is there on the disk?"),
    "battery": _kind("battery level|battery", "Battery|Battery level|Charge", "Akku|Ladestand", "Batterie", "Batería", lambda w: f"{w.rng.randint(1, 100)}%", "How full is the battery?"),
    "brightness": _kind("brightness", "Brightness|Screen brightness", "Helligkeit", "Luminosité", "Brillo", lambda w: f"{w.rng.randint(1, 100)}%"),
    "time-zone": _kind("time zone", "Time zone|Timezone|Region", "Zeitzone", "Fuseau horaire", "Zona horaria", lambda w: w.one("UTC+1", "Europe/Berlin", "UTC", "America/New_York", "Asia/Tokyo", "GMT", "CET", "Europe/Madrid"), "Which time zone is set?"),
    "font": _kind("font", "Font|Typeface|Default font", "Schriftart", "Police", "Fuente|Tipo de letra", lambda w: w.one("DejaVu Sans", "Liberation Serif", "Arial", "Roboto", "Courier New", "Georgia", "Noto Sans") + w.one("", " 10", " 12", " 11"), "Which font is chosen?"),
    "theme": _kind("theme|appearance", "Theme|Appearance|Style", "Design|Erscheinungsbild", "Thème|Apparence", "Tema|Apariencia", _choice("Dark|Light|System default|High contrast|Breeze|Adwaita", "Dunkel|Hell|System", "Sombre|Clair|Système", "Oscuro|Claro|Sistema")),
    "error-code": _kind("error code|error number", "Error code|Error|Code|Error no.", "Fehlercode|Fehler", "Code d'erreur|Erreur", "Código de error|Error", _code("0x80099999", "E-99", "404", "ERR_99", "9999", "0xA9999"), "Which error occurred?|What error does it show?"),
    "printer": _kind("printer", "Printer|Printer name|Destination", "Drucker", "Imprimante", "Impresora", lambda w: w.made_up() + w.code(" 9999") + w.one("", " series", "dn"), "Which printer is chosen?|On which printer will it print?"),
    "pages": _kind("number of pages", "Pages|Page count|No. of pages", "Seiten|Seitenzahl", "Pages|Nombre de pages", "Páginas|N.º de páginas", lambda w: str(w.rng.randint(2, 900)), "How many pages does it have?"),
    "copies": _kind("number of copies", "Copies|Number of copies", "Exemplare|Kopien", "Copies|Exemplaires", "Copias|N.º de copias", lambda w: str(w.rng.randint(1, 99)), "How many copies will be printed?"),
    # Books, events, shops.
    "author": _kind("author|writer", "Author|By|Written by", "Autor|Verfasser|Von", "Auteur|Par", "Autor|Autora", lambda w: w.name(), "Who wrote it?|Who is the author?"),
    "publisher": _kind("publisher", "Publisher|Published by", "Verlag|Herausgeber", "Éditeur", "Editorial|Editor", lambda w: w.last_name() + w.one(" Press", " Verlag", " Books", " & Co."), "Who published it?"),
    "year": _kind("year|year of publication", "Year|Published|Year of publication", "Jahr|Erscheinungsjahr", "Année|Année de parution", "Año|Año de publicación", lambda w: str(w.rng.randint(1890, 2026)), "In which year was it published?|From which year is it?"),
    "isbn": _kind("ISBN", "ISBN|ISBN-13", "ISBN", "ISBN", "ISBN", _code("978-9-999-99999-9", "9789999999999", "978-9-99-999999-9")),
    "edition": _kind("edition", "Edition|Issue", "Auflage|Ausgabe", "Édition|Numéro", "Edición|Número", lambda w: w.one("1st", "2nd", "3rd", "4th", "7th", "Spring", "No. 12", "12/2024")),
    "subject": _kind("subject|topic", "Subject|Topic|Re|Regarding|Title", "Betreff|Thema", "Objet|Sujet", "Asunto|Tema", lambda w: w.one("Annual meeting", "Your order", "Change of address", "Parking permit", "Water supply", "Travel expenses", "New opening hours", "Repair of the lift", "Library fees", "Summer party", "Safety training", "Contract renewal") + w.one("", " " + str(w.rng.randint(2015, 2027))), "What is it about?|What is the subject?"),
    "sender": _kind("sender", "From|Sender|Sent by", "Absender|Von", "Expéditeur|De", "Remitente|De", lambda w: w.name(), "Who sent it?|Who is it from?|Who wrote the message?"),
    "receiver": _kind("recipient|addressee", "To|Recipient|Addressed to", "An|Empfänger", "À|Destinataire", "Para|Destinatario", lambda w: w.name(), "Who is it for?|Who gets the message?"),
    "location": _kind("location|venue|place", "Location|Venue|Where|Place", "Ort|Veranstaltungsort|Wo", "Lieu|Où", "Lugar|Dónde", lambda w: w.one("Town Hall", "Central Library", "City Park", "Main Hall", "St. Mary's Church", "Room 12", "Sports Ground", "Old Mill", "Museum of {}", "{} Theatre").format(w.city()), "Where does it take place?|Where is it?|What is the venue?"),
    "start": _kind("starting time|start", "Starts|Start|Begins at|Time|Doors open", "Beginn|Start|Uhrzeit", "Début|Heure|À partir de", "Comienzo|Inicio|Hora", lambda w: w.time(), "When does it start?|At what time does it begin?"),
    "end": _kind("end|closing time", "Ends|End|Closes at|Until", "Ende|Schließt um", "Fin|Fermeture", "Fin|Cierre", lambda w: w.time(), "When does it end?|When does it close?"),
    "hours": _kind("opening hours", "Opening hours|Open|Hours|Business hours", "Öffnungszeiten|Geöffnet", "Horaires|Ouvert", "Horario|Abierto", lambda w: w.one(f"{w.rng.randint(7, 11)}:00 - {w.rng.randint(16, 22)}:00", f"Mon-Fri {w.rng.randint(7, 10)}-{w.rng.randint(16, 20)}", f"{w.rng.randint(7, 11)} am to {w.rng.randint(4, 10)} pm"), "When is it open?|From when to when is it open?"),
    "admission": _kind("admission|entrance fee|ticket price", "Admission|Entrance fee|Ticket price|Entry", "Eintritt|Eintrittspreis", "Entrée|Tarif", "Entrada|Precio de la entrada", lambda w: w.one(w.money(w.rng.randint(2, 60)), w.money(w.rng.randint(2, 60), digits=0)), "How much is the entry?|How much does a ticket cost?|What does it cost to get in?"),
    "capacity-people": _kind("maximum number of people|number of seats", "Max. persons|Seats|Maximum occupancy", "Max. Personen|Plätze", "Personnes max.|Places", "Aforo|Plazas", lambda w: str(w.rng.randint(4, 800)), "How many people fit in?|How many people are allowed?"),
    "chair": _kind("chair|organiser|person in charge", "Chair|Organiser|Responsible|Manager|Head", "Leitung|Verantwortlich|Leiter", "Responsable|Directeur", "Responsable|Director", lambda w: w.name(), "Who is in charge?|Who is responsible?"),
    "doctor": _kind("doctor|physician", "Doctor|Physician|Attending", "Arzt|Ärztin", "Médecin|Docteur", "Médico|Doctora", lambda w: "Dr. " + w.last_name(), "Who is the doctor?|Which doctor is it?"),
    "appointment": _kind("appointment|date of the appointment", "Appointment|Next appointment", "Termin|Nächster Termin", "Rendez-vous|Prochain rendez-vous", "Cita|Próxima cita", lambda w: w.date() + w.one(" ", ", ") + w.time(), "When is the appointment?"),
    "population": _kind("population|number of inhabitants", "Population|Inhabitants", "Einwohner|Einwohnerzahl", "Population|Habitants", "Población|Habitantes", lambda w: w.number(500, 9e6), "How many people live there?"),
    "area": _kind("area|surface", "Area|Surface|Floor space", "Fläche|Wohnfläche", "Surface|Superficie", "Superficie|Área", _unit(12, 9000, "m²", "km²", "ha", "sq ft"), "How large is it?"),
    "rent": _kind("rent|monthly rent", "Rent|Monthly rent|Rent per month", "Miete|Kaltmiete|Monatsmiete", "Loyer|Loyer mensuel", "Alquiler|Renta mensual", lambda w: w.money(w.rng.randint(250, 2900)), "How much is the rent?"),
    "salary": _kind("salary|pay", "Salary|Gross pay|Net pay|Monthly salary", "Gehalt|Bruttolohn|Auszahlung", "Salaire|Salaire net", "Salario|Sueldo", _money(900, 9000), "How much is earned?"),
    "score": _kind("score|result", "Score|Result|Final score", "Ergebnis|Endstand", "Score|Résultat", "Resultado|Marcador", lambda w: f"{w.rng.randint(0, 9)}{w.one(':', '-', ' : ')}{w.rng.randint(0, 9)}", "How did it end?"),
    "winner": _kind("winner", "Winner|First prize|Champion", "Sieger|Gewinner", "Vainqueur|Gagnant", "Ganador|Campeón", lambda w: w.name(), "Who won?|Who is the winner?"),
}  # fmt: skip

FAMILIES: dict[str, tuple[str, ...]] = {
    "invoice": ("invoice-number", "order-number", "customer-number", "reference", "date", "due-date", "delivery-date", "vat-id", "iban", "bic", "bank", "seller", "customer", "contact", "phone", "fax", "email", "website", "payment", "terms"),
    "receipt": ("date", "cashier", "table-number", "receipt-number", "card", "till", "items", "store", "phone", "vat-id", "payment", "start"),
    "person": ("name", "first-name", "surname", "birthday", "birthplace", "nationality", "passport", "address", "city", "postcode", "country", "phone", "email", "job", "employer", "marital", "height", "language", "gender-neutral-title", "school", "member"),
    "insurance": ("policy", "name", "birthday", "address", "date", "doctor", "appointment", "phone", "department", "reference", "member"),
    "travel": ("flight", "gate", "seat", "platform", "train", "departure", "arrival", "from", "to", "passenger", "booking", "class", "boarding", "date", "duration", "distance", "price"),
    "hotel": ("name", "room", "check-in", "check-out", "nights", "price", "booking", "phone", "address", "city", "deposit"),
    "product": ("product", "brand", "model", "serial", "colour", "weight", "size", "price", "material", "origin", "best-before", "lot", "warranty", "power", "voltage", "capacity", "temperature"),
    "food": ("product", "energy", "fat", "sugar", "salt", "capacity", "best-before", "lot", "origin", "price", "temperature", "brand", "deposit"),
    "file": ("file", "folder", "file-size", "modified", "author", "licence", "version", "pages", "resolution", "status"),
    "system": ("os", "processor", "memory", "version", "ip", "port", "host", "network", "resolution", "status", "free-space", "battery", "user", "time-zone", "language", "brightness", "theme", "font", "error-code", "wifi-password"),
    "print": ("printer", "pages", "copies", "size", "file", "status", "resolution", "colour", "user"),
    "book": ("author", "publisher", "year", "isbn", "edition", "pages", "price", "language", "subject"),
    "event": ("location", "start", "end", "date", "admission", "chair", "phone", "website", "capacity-people", "subject", "room"),
    "shop": ("hours", "phone", "address", "city", "website", "email", "chair", "admission"),
    "letter": ("sender", "receiver", "date", "subject", "reference", "phone", "email", "city"),
    "vehicle": ("plate", "model", "brand", "mileage", "colour", "power", "year", "price", "weight", "speed", "serial"),
    "place": ("population", "area", "country", "distance", "temperature", "humidity", "pressure", "speed", "chair", "postcode"),
    "flat": ("rent", "area", "deposit", "room", "address", "city", "contact", "phone", "date"),
    "work": ("name", "department", "job", "salary", "employer", "room", "phone", "email", "date", "member", "chair"),
    "match": ("score", "winner", "date", "location", "start", "capacity-people", "chair"),
    "medicine-box": ("product", "dose", "lot", "best-before", "brand", "temperature", "price"),
}  # fmt: skip
"""Which fields stand together."""

_THINGS = {
    "en": "Coffee|Green tea|Milk|Bread|Butter|Olive oil|Apples|Bananas|Tomatoes|Cheese|Eggs|Rice|Pasta|Orange juice|Mineral water|Chocolate|Yoghurt|Chicken|Salmon|Potatoes|Onions|Honey|Sugar|Flour|Soap|Shampoo|Toothpaste|Batteries|Light bulb|Notebook|Ball pen|Stapler|Printer paper|USB cable|Keyboard|Mouse|Monitor|Headphones|Desk lamp|Office chair|Umbrella|T-shirt|Socks|Jacket|Hammer|Screws|Paint|Garden hose|Flower pot|Dog food|Bicycle tube|Engine oil|Pizza Margherita|Caesar salad|Soup of the day|Espresso|Lemonade|Cheesecake|Burger|French fries|Sandwich|Ice cream|House wine|Consulting|Web hosting|Translation|Repair|Installation|Delivery|Cleaning|Training|Domain name|Backup service|Stamps|Postcard|Newspaper|Candle|Puzzle|Football|Tent|Backpack|Water bottle|Toaster|Kettle|Blender|Vacuum cleaner|Router|Tablet|Camera|Memory card|Sunglasses|Towel|Pillow|Blanket|Curtain|Mirror|Bookshelf",
    "de": "Kaffee|Grüner Tee|Milch|Brot|Butter|Olivenöl|Äpfel|Bananen|Tomaten|Käse|Eier|Reis|Nudeln|Orangensaft|Mineralwasser|Schokolade|Joghurt|Hähnchen|Lachs|Kartoffeln|Zwiebeln|Honig|Zucker|Mehl|Seife|Zahnpasta|Batterien|Glühbirne|Notizbuch|Kugelschreiber|Druckerpapier|USB-Kabel|Tastatur|Bildschirm|Kopfhörer|Schreibtischlampe|Bürostuhl|Regenschirm|Socken|Jacke|Schrauben|Farbe|Gartenschlauch|Hundefutter|Motoröl|Pizza Margherita|Tagessuppe|Apfelschorle|Käsekuchen|Currywurst|Pommes|Eis|Weizenbier|Beratung|Übersetzung|Reparatur|Montage|Lieferung|Reinigung|Schulung|Briefmarken|Zeitung|Kerze|Handtuch|Wasserkocher|Staubsauger|Spiegel",
    "fr": "Café|Thé vert|Lait|Pain|Beurre|Huile d'olive|Pommes|Bananes|Tomates|Fromage|Œufs|Riz|Pâtes|Jus d'orange|Eau minérale|Chocolat|Yaourt|Poulet|Saumon|Pommes de terre|Oignons|Miel|Sucre|Farine|Savon|Dentifrice|Piles|Ampoule|Cahier|Stylo|Papier|Câble USB|Clavier|Écran|Casque|Lampe|Chaise|Parapluie|Chaussettes|Veste|Vis|Peinture|Croissant|Baguette|Soupe du jour|Limonade|Tarte aux pommes|Salade niçoise|Crème brûlée|Conseil|Traduction|Réparation|Livraison|Nettoyage|Formation|Timbres|Journal|Bougie|Serviette|Bouilloire|Miroir",
    "es": "Café|Té verde|Leche|Pan|Mantequilla|Aceite de oliva|Manzanas|Plátanos|Tomates|Queso|Huevos|Arroz|Pasta|Zumo de naranja|Agua mineral|Chocolate|Yogur|Pollo|Salmón|Patatas|Cebollas|Miel|Azúcar|Harina|Jabón|Pilas|Bombilla|Cuaderno|Bolígrafo|Papel|Cable USB|Teclado|Pantalla|Auriculares|Lámpara|Silla|Paraguas|Calcetines|Chaqueta|Tornillos|Pintura|Tortilla|Sopa del día|Limonada|Flan|Ensalada mixta|Paella|Asesoría|Traducción|Reparación|Entrega|Limpieza|Formación|Sellos|Periódico|Vela|Toalla|Espejo",
}  # fmt: skip


def product(words: Words) -> str:
    """The name of something that is sold."""
    rng = words.rng
    thing = rng.choice(_THINGS[words.language].split("|"))
    extra = rng.random()
    if extra < 0.15:
        return f"{thing} {rng.choice(('500 g', '1 kg', '250 ml', '1 l', '6x', '2 kg', '75 cl', '100 g'))}"
    if extra < 0.25:
        return f"{words.made_up()} {thing.lower()}"
    if extra < 0.32:
        return f"{thing} {rng.choice(('XL', 'small', 'A4', 'Bio', 'Classic', 'Premium', 'Nr. 5', 'Mini'))}"
    return thing
