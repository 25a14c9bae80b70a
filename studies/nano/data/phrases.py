# ruff: noqa: E501 - lists of phrases
"""How people ask: at least thirty phrasings for each task, terse and polite, whole and in keywords.

A phrasing is filled with `str.format`; `ask` draws one. Languages other than English only for
questions about documents.
"""

from __future__ import annotations

import random

PHRASES: dict[str, tuple[str, ...]] = {
    "field": (
        "What is the {noun}?", "What's the {noun}?", "{noun}?", "{Noun}", "Tell me the {noun}.", "Give me the {noun}.",
        "Which {noun} is given?", "Which {noun} does it show?", "Read the {noun}.", "Read out the {noun}, please.",
        "Can you tell me the {noun}?", "Could you read me the {noun}?", "Please find the {noun}.", "Find the {noun}.",
        "Look up the {noun}.", "I need the {noun}.", "What does it say for {noun}?", "What is written next to {label}?",
        "What stands after \"{label}\"?", "What does it say under {label}?", "What is the value of {label}?",
        "{label}?", "What {noun} is printed here?", "I'm looking for the {noun}.", "Do you see the {noun}? What is it?",
        "Extract the {noun}.", "state the {noun}", "what is the {noun} in this document", "what's the {noun} on this",
        "Would you tell me what the {noun} is?", "Show me the {noun}.", "Which value belongs to {label}?",
        "Name the {noun}.", "Answer with the {noun} only.", "Copy the {noun} from the picture.", "What's there as {noun}?",
        "Do you know the {noun}?", "the {noun} please", "What is entered for {label}?", "Quick: the {noun}?",
    ),
    "field-de": (
        "Was steht bei {label}?", "{label}?", "Was ist bei „{label}“ angegeben?", "Lies mir {label} vor.", "Wie lautet der Eintrag {label}?",
        "Was steht hinter {label}?", "Nenne mir: {label}", "Welcher Wert steht bei {label}?", "Bitte {label} angeben.", "Was ist für {label} eingetragen?",
    ),
    "field-fr": (
        "Qu'est-ce qui est écrit pour {label} ?", "{label} ?", "Que lit-on après {label} ?", "Donne-moi : {label}", "Quelle est la valeur de {label} ?",
        "Qu'indique le champ {label} ?", "Pouvez-vous lire {label} ?", "Quel est le contenu de « {label} » ?", "Lis la ligne {label}.", "Que dit le document pour {label} ?",
    ),
    "field-es": (
        "¿Qué pone en {label}?", "¿{label}?", "¿Qué está escrito en {label}?", "Dime: {label}", "¿Cuál es el valor de {label}?",
        "Lee el campo {label}.", "¿Qué indica {label}?", "¿Qué dice junto a {label}?", "¿Puedes leer {label}?", "¿Qué aparece en «{label}»?",
    ),
    "cell": (
        "What is the {column} of {row}?", "What's the {column} for {row}?", "{row}: {column}?", "{column} of {row}", "{column} {row}?",
        "Which {column} does {row} have?", "Tell me the {column} of {row}.", "Give me the {column} for {row}.", "What does the table say about the {column} of {row}?",
        "In the row {row}, what is under {column}?", "What is in the column {column} for {row}?", "What is listed as {column} for {row}?",
        "Find the {column} of {row}.", "Look up {row} and read its {column}.", "Please read the {column} of {row}.", "Can you tell me the {column} of {row}?",
        "What value does {row} have in {column}?", "what is the {column} of {row}", "I need the {column} of {row}.", "For {row}, what is the {column}?",
        "{row} - what {column}?", "Which value is at {row} and {column}?", "How is the {column} of {row} given?", "Where {row} stands, what is its {column}?",
        "According to the table, what is the {column} of {row}?", "Read the cell in row {row}, column {column}.", "Show the {column} of {row}.",
        "{column}, {row}", "Could you look up the {column} for {row}?", "State the {column} belonging to {row}.", "What {column} is shown for {row}?",
        "the {column} of {row} please", "Name the {column} of {row}.", "I want to know the {column} of {row}.",
    ),
    "beside": (
        "What is written to the right of \"{left}\"?", "What stands beside \"{left}\"?", "What is next to \"{left}\"?", "In the row of \"{left}\", what comes next?", "What is given for {left}?", "{left}: what is beside it?", "What does the table give for {left}?",
        "Which entry is at the right of {left}?", "Read what is beside \"{left}\".", "What is to the right of {left}?", "What belongs to {left}?", "Look for \"{left}\". What is next to it?", "Tell me what is beside {left}.", "The cell right of \"{left}\"?", "What value or text is at {left}?",
        "What's next to {left}?", "What does it say beside {left}?", "Find {left} and read what stands at its right.", "what is beside {left}", "Which text is on the same line right of \"{left}\"?", "Give me the entry beside {left}.", "What is listed for {left}?",
    ),
    "cell-price": (
        "How much is the {row}?", "How much does {row} cost?", "What does {row} cost?", "What is the price of {row}?", "Price of {row}?", "How expensive is {row}?",
        "What do I pay for {row}?", "{row}, how much?", "How much for {row}?", "What's the charge for {row}?", "Tell me what {row} costs.", "cost of {row}",
    ),
    "cell-de": ("Was steht bei {row} unter {column}?", "{column} von {row}?", "Welcher Wert steht bei {row} in der Spalte {column}?", "{row}: {column}?", "Lies {column} für {row} vor."),
    "cell-fr": ("Que lit-on pour {row} dans la colonne {column} ?", "{column} de {row} ?", "Quelle est la valeur de {column} pour {row} ?", "{row} : {column} ?", "Donne {column} pour {row}."),
    "cell-es": ("¿Qué pone en {column} para {row}?", "¿{column} de {row}?", "¿Cuál es el valor de {column} para {row}?", "{row}: ¿{column}?", "Dime {column} de {row}."),
    "row": (
        "Which {key} has the {column} {value}?", "Which {key} has {value} as {column}?", "What {key} has a {column} of {value}?", "Which row has {value} under {column}?",
        "Where is the {column} {value}?", "Whose {column} is {value}?", "{column} {value}: which {key}?", "Find the {key} with {column} {value}.",
        "Tell me the {key} whose {column} is {value}.", "Name the {key} with {value} in the column {column}.", "For which {key} is the {column} {value}?",
        "Which entry has the {column} {value}?", "{value} is the {column} of what?", "What has the {column} {value}?", "Give the {key} that has {column} = {value}.",
        "Look for {value} under {column}: which {key} is that?", "To which {key} does the {column} {value} belong?", "Which line of the table shows {column} {value}?",
        "Please find the {key} with a {column} of {value}.", "which {key} has {column} {value}", "What is listed with {column} {value}?", "The {column} is {value}. Which {key} is it?",
        "I see {value} under {column}. What does it belong to?", "Which {key} goes with {column} {value}?", "{key} with {column} {value}?", "Who or what has {value} as {column}?",
        "Read the {key} of the row with {column} {value}.", "Which of them has {column} {value}?", "In which row is the {column} {value}?", "What {key} stands beside the {column} {value}?",
    ),
    "row-end": (
        "What is the {end} {key} in the table?", "Which {key} is listed {end}?", "What is the {end} entry?", "{End} {key}?", "Name the {end} {key}.", "Tell me the {end} {key} of the list.",
        "What stands in the {end} row?", "Which {key} comes {end}?", "Read the {end} {key}.", "the {end} {key} please", "What does the table list {end}?", "Give me the {end} {key}.",
    ),
    "next-words": (
        "What comes after the words \"{before}\"?", "What comes after \"{before}\"?", "Which words follow \"{before}\"?", "What follows \"{before}\"?",
        "How does the text go on after \"{before}\"?", "Continue: {before} ...", "{before} ... how does it go on?", "Read on after \"{before}\".",
        "What is written after \"{before}\"?", "What does it say after \"{before}\"?", "Tell me what follows the words \"{before}\".", "Complete the line: \"{before} ...\"",
        "Which words stand right after \"{before}\"?", "After \"{before}\", what is the text?", "what comes after {before}", "Give the words after \"{before}\".",
        "Finish the line that has \"{before}\".", "How does the line go on after \"{before}\"?", "\"{before}\" is followed by what?", "Please read the words that come after \"{before}\".",
        "Where it says \"{before}\", what comes next?", "Next words after \"{before}\"?", "What's next after \"{before}\"?", "Could you read what follows \"{before}\"?",
        "Find \"{before}\" and read on to the end of the line.", "How does \"{before}\" continue?", "What stands behind \"{before}\"?", "Words after \"{before}\"",
        "I can read \"{before}\". What comes then?", "What is the rest of the line after \"{before}\"?",
    ),
    "line-first": (
        "What is the first line?", "What does the first line say?", "Read the first line.", "First line?", "What is written at the top?", "What stands at the very top?",
        "Tell me the first line.", "How does it begin?", "What is the text at the top?", "Please read the top line.", "What does it say at the top?", "What are the first words?",
        "Give me the first line of text.", "Which text comes first?", "top line?", "Copy the first line.", "What do you read in the first line?", "the first line please",
    ),
    "line-last": (
        "What is the last line?", "What does the last line say?", "Read the last line.", "Last line?", "What is written at the bottom?", "What stands at the very bottom?",
        "Tell me the last line.", "How does it end?", "What is the text at the bottom?", "Please read the bottom line.", "What does it say at the end?", "Which text comes last?",
        "Give me the last line of text.", "bottom line?", "Copy the last line.", "What do you read in the last line?", "the last line please",
    ),
    "line-with": (
        "Read the line that begins with \"{begin}\".", "Which line starts with \"{begin}\"?", "What does the line with \"{begin}\" say?", "Read me the whole line \"{begin} ...\".",
        "Give me the complete line starting with \"{begin}\".", "What is the full line that starts with \"{begin}\"?", "Copy the line that begins with \"{begin}\".", "the line with {begin} please",
    ),
    "choice": (
        "Which {noun} is selected?", "Which option is selected for {label}?", "What is chosen under {label}?", "What {noun} is chosen?", "Which {noun} is ticked?", "Which {noun} is set?", "Selected {noun}?", "Under {label}, which option is marked?",
        "Which of the options of {label} is on?", "What is the current {noun}?", "Tell me the selected {noun}.", "{label}: which one is selected?", "What does {label} stand at?", "Which choice was made for {label}?", "What is picked for {label}?",
        "Which circle is filled under {label}?", "Which button is marked at {label}?", "Name the option that is selected for {label}.", "What {noun} did they choose?", "which {noun} is active", "Please read the selected {noun}.", "Which entry of {label} is checked?",
        "What's the choice at {label}?", "How is {label} set?", "Give me the chosen {noun}.", "Which setting has {label}?", "Which {noun} is switched on?", "For {label}, what is selected?", "Read which {noun} is ticked.", "Which option of {label} has the dot?",
    ),
    "transcript": (
        "What does it say?", "What is written here?", "Read the text.", "Read it to me.", "What's written there?", "Please read this.", "What does the text say?", "Read all of it.",
        "Transcribe the text.", "What words do you see?", "Can you read this?", "Could you read the text for me?", "text?", "What can be read here?", "Tell me what is written.",
        "Type out the text.", "Which words are in the picture?", "what does this say", "Read aloud what it says.", "Spell out the writing.", "I can't read it, what does it say?",
        "Copy the text.", "What is the text in the picture?", "Give me the wording.", "Which text is shown?", "Write down what is written.", "What's the writing?", "Say what is printed here.",
        "What message is shown?", "Read the words.", "What is printed?",
    ),
    "sign": (
        "What does the sign say?", "What is written on the sign?", "Read the sign.", "What's on the sign?", "What does it say on the sign?", "Can you read the sign?", "Sign text?",
        "Please read the sign to me.", "What words are on the sign?", "Tell me what the sign says.", "What is on the board?", "What does the board say?", "Which words does the sign show?",
        "What can you read on the sign?", "what does the sign say", "Transcribe the sign.", "What is the text on the sign?", "What is the sign about?", "Could you read that sign?",
        "Read me what's on the sign.", "What message does the sign give?", "I can't see the sign well. What does it say?", "What does the plate say?", "What's written on the board?",
        "Give the words on the sign.", "Which text is on the sign?", "What does this notice say?", "Read the notice.", "What is the wording of the sign?", "What do you read on it?", "sign?",
    ),
    "window": (
        "What is the title of the window?", "What's the window called?", "Which window is this?", "Title of the dialog?", "What is the dialog called?", "What does the title bar say?",
        "Read the title of the window.", "What is the name of this screen?", "Which screen is shown?", "What page of the settings is this?", "Window title?", "Tell me the title of this dialog.",
        "What is written in the title bar?", "Which dialog is open?", "How is this window titled?", "Name the window.", "What's at the top of the window?", "Which program window is it?",
        "the window's title please", "What does the window's heading say?", "what window is open", "Could you read the window title?", "Which form is on the screen?", "What is this dialog box titled?",
        "Give me the name of the window.", "Please tell me the window's title.", "Which menu or window do we see?", "Read the caption of the window.", "What heading does the screen have?", "What's the dialog's title?",
    ),
    "button": (
        "Which buttons are there?", "What buttons can I press?", "What does the button say?", "Which buttons does the window have?", "Name the buttons.", "What is on the buttons?",
        "Read the buttons.", "What are my choices here?", "Which button can I click?", "Buttons?",
    ),
    "summary": (
        "Describe this document.", "Describe the document in a sentence.", "What is this document?", "Summarise this paper.", "What is this paper about?", "Sum it up in one sentence.", "Give a short description of the document.", "Say in one sentence what this document is.",
        "What have we got here? One sentence.", "In a sentence, what does the document say?", "Summarise the document.", "Give me a summary.", "A one-sentence summary, please.", "What kind of paper is it, from whom and over how much?", "Who is it from and over what sum?", "Describe this paper briefly.",
        "Tell me briefly what this paper is.", "What is this receipt or invoice for? One sentence.", "Write one sentence about this document.", "Describe what the paper says.", "Put the document into one sentence.", "What do I need to know about this paper?", "Please summarise this.", "summarise this document",
        "Could you sum up the document?", "What does this paper say in short?", "Short summary of the document?", "How would you describe this document?", "Explain in a sentence what document this is.", "Name the kind of paper, the sender and the sum.",
    ),
    "title": (
        "What is the title?", "What's the title of this page?", "Title?", "What is the heading of the document?", "What is this document called?", "Read the title.", "Tell me the title.",
        "What is the title of the document?", "What is the page titled?", "How is it titled?", "What is the main heading?", "Which title does it have?", "What does the heading at the top say?",
        "Give me the title.", "What's the headline?", "Read the headline.", "Name the title of this page.", "what is the title of this", "Please tell me the title.", "Under which title is it?",
        "Can you read the title?", "What does the title say?", "What is the name of the document?", "The title, please.", "What is printed as the title?", "What heading does the page carry?",
        "Headline of this page?", "What is it called?", "Which heading is at the top?", "Could you give me the title of the page?", "Copy the title.",
    ),
    "heading": (
        "Which section heading is on the page?", "What is the section called?", "Name the section heading.", "Section heading?", "What is the heading of the section?", "Which section is this?",
        "Read the section heading.", "What is the heading on this page?", "Which heading do you see?", "Tell me the heading of the section.", "What section begins here?", "Which chapter or section is it?",
        "What does the section heading say?", "Give me the section title.", "How is the section titled?", "What's the first section heading?", "what is the section heading", "Please read the heading.",
        "Under which heading is the text?", "What heading is printed in bold?", "Which section starts on this page?", "What is the title of the section?", "Could you tell me the section's heading?",
        "The heading of this section, please.", "Which topic has a heading here?", "Copy the section heading.", "What subheading is there?", "Name the subheading.", "Read out the heading in the text.", "Find the section heading.",
    ),
    "page-number": (
        "What page is this?", "What is the page number?", "Page number?", "Which page is it?", "Which page number is printed?", "On which page are we?", "Read the page number.", "Tell me the page number.",
        "What number does the page have?", "Give me the number of the page.", "page?", "Which page of the document is shown?", "What's the number of this page?", "Find the page number.", "The page number, please.",
        "What page number is printed on it?", "Could you read the page number?", "what page are we on", "Which number is at the edge of the page?", "Please tell me which page this is.", "Number of this page?",
        "How is this page numbered?", "What does the page number say?", "State the page number.", "I need the page number.", "Do you see a page number? Which?", "Copy the page number.", "Which page do I have here?",
        "What's the page no.?", "Look for the page number.",
    ),
    "caption": (
        "What is the caption of the figure?", "What does the caption say?", "Read the caption.", "Caption?", "What is the figure about?", "What is written under the figure?", "Which caption does the figure have?",
        "How is the figure captioned?", "What does the figure show, by its caption?", "Tell me the caption.", "What is the caption of the table?", "Read the text under the picture.", "Give me the figure's caption.",
        "What is {label}?", "What does {label} show?", "Caption of {label}?", "What's {label} about?", "Read the caption of {label}.", "Tell me what {label} is.", "{label}: what is it?", "Find {label}. What does it say?",
        "What does the caption of {label} say?", "Describe {label} with its caption.", "What is the title of {label}?", "How is {label} described?", "What is the topic of {label}?", "Which caption belongs to {label}?",
        "Give the caption for {label}.", "what does {label} show", "Please read the caption of {label}.",
    ),
    "about": (
        "What does the page say about {topic}?", "What does it say about {topic}?", "What is said about {topic}?", "What is {topic}?", "Tell me about {topic}.", "What do we learn about {topic}?", "{topic}?",
        "How is {topic} described?", "What does the text say about {topic}?", "Explain {topic} with what is written.", "What is written about {topic}?", "Find what the page says about {topic}.", "And {topic}?",
        "According to the page, what is {topic}?", "How is {topic} explained?", "What does the document say on {topic}?", "what is {topic}", "Give the description of {topic}.", "What is the meaning of {topic}?", "What does {topic} mean?",
        "Read what it says about {topic}.", "How does the page define {topic}?", "Define {topic}.", "What is {topic} according to this page?", "Please tell me what {topic} is.", "Which description does {topic} have?",
        "What does {topic} do?", "What is {topic} for?", "Could you look up {topic}?", "I want to know about {topic}.",
    ),
    "layout-count": (
        "How many {part}s are on this page?", "How many {part}s are there?", "Number of {part}s?", "How many {part}s do you see?", "Count the {part}s.", "How many {part}s does the page have?",
        "Tell me how many {part}s there are on the page.", "Please count the {part}s.", "How many {part}s can be seen?", "how many {part}s", "What is the number of {part}s on the page?", "How many {part}s are shown here?",
    ),
    "layout-is": (
        "Is there a {part} on this page?", "Is there a {part}?", "Does the page have a {part}?", "Do you see a {part}?", "Any {part} here?", "Does this page contain a {part}?", "Is a {part} shown?", "Has this page got a {part}?",
        "Can you find a {part} on the page?", "is there any {part}", "Are there any {part}s?", "Tell me whether there is a {part}.", "Does it include a {part}?", "Is a {part} part of this page?", "{part}, yes or no?",
    ),
    "layout-where": (
        "Where is the {part}?", "Where on the page is the {part}?", "In which part of the page is the {part}?", "Where do I find the {part}?", "Is the {part} at the top or at the bottom?", "Position of the {part}?",
        "Where does the {part} stand?", "Tell me where the {part} is.",
    ),
    "chart-value": (
        "What is the value of {label}?", "What value does {label} have?", "How high is the bar of {label}?", "{label}?", "How much is {label}?", "What is {label}'s value?", "Value of {label}?", "Give me the value for {label}.",
        "Read the value of {label}.", "Tell me the value of {label}.", "What does the chart show for {label}?", "How large is {label}?", "What number belongs to {label}?", "Which value is shown for {label}?", "What's the value at {label}?",
        "Please read off the value of {label}.", "About how much is {label}?", "Roughly, what is the value for {label}?", "what is the value of {label}", "Look up {label} in the chart.", "According to the chart, what is {label}?",
        "How many for {label}?", "At {label}, what is the value?", "What is the height for {label}?", "Can you tell me the value of {label}?", "Estimate the value for {label}.", "What does {label} come to?", "I need the number for {label}.",
        "State the value of {label}.", "What is plotted for {label}?", "How big is the value of {label}?", "{label}: how much?",
    ),
    "chart-value-series": (
        "What is the value of {series} at {label}?", "How much is {series} for {label}?", "{series}, {label}?", "What value does {series} have in {label}?", "Read {series} at {label}.", "For {label}, what is {series}?", "What's {series} at {label}?", "Value of {series} for {label}?",
        "Tell me {series} at {label}.", "How high is {series} at {label}?",
    ),
    "chart-label": (
        "Which {item} has the value {value}?", "What is the label of the {item} with the value {value}?", "Which label has about {value}?", "Which one is at {value}?", "Which label belongs to {value}?", "{value} is the value of which label?",
        "Find the label with the value {value}.", "Whose value is {value}?", "For which label is the value about {value}?", "Where is the value {value}?", "which one has {value}", "Name the label whose value is {value}.", "Tell me which {item} stands at {value}.",
        "Which {item} reaches {value}?", "Which of them comes to {value}?", "What has the value {value}?", "Label with value {value}?", "Which {item} shows {value}?", "Give the label of the {item} at {value}.", "Who has {value}?",
        "Which category has a value of {value}?", "Which entry is {value}?", "Look for the value {value}: which label is it?", "Which category reaches about {value}?", "What category has {value}?", "At which label do we see {value}?", "What is at {value}?",
        "Please name the {item} with {value}.", "Which {item} is worth {value}?", "The value is {value}. Which label?",
    ),
    "chart-largest": (
        "Which {item} is the largest?", "Which label has the highest value?", "Which one is highest?", "What is the largest?", "Which {item} is the tallest?", "Which has the most?", "Largest {item}?", "What has the maximum value?", "Who is at the top?",
        "Name the label with the greatest value.", "Which category is the largest?", "Which one is the biggest?", "Which one is the maximum?", "Tell me which is the highest.", "Which label leads?", "Which {item} reaches the highest value?", "highest?",
        "Where is the maximum?", "Which one wins?", "What is the label of the largest {item}?", "Please name the biggest one.", "Which category has the most?", "Which value is the greatest, by label?", "Find the largest.", "Which is number one?",
        "Give the label of the longest {item}.", "Which is more than all others?", "which is the largest", "Which one stands out as the highest?", "What has the largest share?", "Who has the most?",
    ),
    "chart-smallest": (
        "Which {item} is the smallest?", "Which label has the lowest value?", "Which one is lowest?", "What is the smallest?", "Which {item} is the shortest?", "Which has the least?", "Smallest {item}?", "What has the minimum value?", "Who is at the bottom?",
        "Name the label with the least value.", "Which category is the smallest?", "Which one is the tiniest?", "Which one is the minimum?", "Tell me which is the lowest.", "Which label comes last in value?", "Which {item} has the lowest value?", "lowest?",
        "Where is the minimum?", "Which one is the least?", "What is the label of the smallest {item}?", "Please name the smallest one.", "Which category has the fewest?", "Which value is the lowest, by label?", "Find the smallest.", "Which is less than all others?",
        "Give the label of the shortest {item}.", "Who has the least?", "which is the smallest", "Which one has the smallest share?", "What is lowest in the chart?",
    ),
    "chart-count": (
        "How many {item}s are there?", "How many {item}s does the chart have?", "Count the {item}s.", "Number of {item}s?", "How many {item}s do you see?", "How many {item}s are shown?", "How many {item}s are in the chart?", "Tell me how many {item}s there are.",
        "how many {item}s", "What is the number of {item}s?", "Please count the {item}s.", "How many {item}s can be seen?", "Of how many {item}s is the chart made?", "How many {item}s has it got?", "Give the number of {item}s.", "How many {item}s make up the chart?",
        "Can you count the {item}s?", "How many {item}s were drawn?", "{item}s: how many?", "How many different {item}s are there?", "I'd like to know how many {item}s there are.", "How many {item}s are plotted?", "With how many {item}s?", "Say how many {item}s it has.",
        "The number of {item}s, please.", "How many {item}s are displayed?", "What's the count of {item}s?", "How many {item}s stand in the diagram?", "Could you count the {item}s in this chart?", "How many {item}s appear?",
    ),
    "chart-kind": (
        "What kind of chart is this?", "Which type of chart is it?", "Chart type?", "What type of plot is shown?", "Is it a bar chart, a line chart or a pie chart?", "Which kind of diagram is this?", "What sort of chart do you see?", "Name the type of chart.", "How are the values drawn: bars, lines or slices?",
        "What type of graph is this?", "Tell me the kind of chart.", "what kind of chart is it", "Bar, line, pie or scatter?", "Which chart type was used?", "What form of diagram is used?",
    ),
    "chart-title": (
        "What is the title of the chart?", "What is the chart about?", "Title of the chart?", "What does the chart show?", "Read the chart's title.", "What is this chart called?", "How is the chart titled?", "What is the heading of the diagram?", "Tell me the title of the chart.",
        "What's the title of this graph?", "Which title does the plot have?", "Give me the chart title.", "What is written above the chart?", "What does the title of the plot say?", "what is the chart's title", "Name the title of the diagram.", "What is the graph about?",
        "Please read the title of the figure.", "What topic does the chart have?", "What is the plot's title?", "Which heading does the chart carry?", "Chart title?", "The title of the graph, please.", "What is being shown, by the title?", "How is this graph headed?",
        "What's the name of the chart?", "Could you read the title above the bars?", "What do the words above the plot say?", "Copy the chart's title.", "What does this diagram show?",
    ),
    "chart-axis": (
        "What is the label of the {axis} axis?", "What does the {axis} axis show?", "What is on the {axis} axis?", "{axis} axis label?", "What is written at the {axis} axis?", "Read the label of the {axis} axis.", "How is the {axis} axis labelled?", "What is the {axis} axis called?",
        "What does the {axis} axis stand for?", "Which quantity is on the {axis} axis?", "Tell me the {axis} axis label.", "What is plotted along the {axis} axis?", "Name the {axis} axis.", "what is the {axis} axis", "What's the title of the {axis} axis?", "Give the label of the {axis} axis.",
        "What does it say along the {axis} axis?", "Which label has the {axis} axis?", "What is measured on the {axis} axis?", "The label of the {axis} axis, please.", "Please read the {axis} axis.", "What unit or name has the {axis} axis?", "How is the {axis} axis named?", "{axis} axis?",
        "What are we looking at on the {axis} axis?", "Which words are at the {axis} axis?", "What quantity does the {axis} axis measure?", "Can you read the {axis} axis label?", "Copy the label at the {axis} axis.", "What text is beside the {axis} axis?",
    ),
    "object": (
        "What is this?", "What is in the picture?", "What do you see?", "What is shown?", "What's this?", "What object is this?", "Name this.", "What does the picture show?", "What thing is it?", "Can you tell me what this is?", "What is it?",
        "What kind of thing is this?", "Which object is in the photo?", "Name the thing in the picture.", "What am I looking at?", "what is this thing", "Tell me what this is.", "What is the object called?", "Identify the object.", "What can be seen here?",
        "What is pictured?", "What's in the photo?", "What is the main thing in the picture?", "Which thing do you see?", "Do you know what this is?", "Please name the object.", "How do you call this?", "object?", "In one word, what is this?", "What does the image show?",
        "Say what it is.", "What might this be?", "What have I photographed?", "Recognise this.",
    ),
    "object-animal": (
        "What animal is this?", "Which animal is it?", "What kind of animal is this?", "Name the animal.", "Which animal do you see?", "What animal is in the picture?", "What's this animal called?", "animal?", "What creature is this?", "Tell me which animal this is.",
        "What sort of animal is shown?", "Identify the animal.", "Do you know this animal?",
    ),
    "object-food": (
        "What food is this?", "What is there to eat?", "Which food is shown?", "What kind of food is it?", "What fruit or vegetable is this?", "What can I eat here?", "Name the food.", "What dish or food is in the picture?", "What is this food called?",
    ),
    "object-vehicle": (
        "What vehicle is this?", "What kind of vehicle is it?", "Which vehicle do you see?", "Name the vehicle.", "What does it drive or fly with?", "What means of transport is this?", "What sort of vehicle is shown?",
    ),
    "object-plant": ("What plant is this?", "Which plant is it?", "What flower or plant is this?", "Name the plant.", "What kind of plant do you see?", "What grows here?"),
    "object-tool": ("What tool is this?", "What device is this?", "What equipment is shown?", "What instrument is it?", "Name the tool.", "What is this used object called?", "Which device is it?"),
    "describe": (
        "Describe the picture.", "Describe this image.", "Describe what you see.", "Give a short description.", "What is going on in the picture? Describe it.", "Describe the photo in a sentence.", "Say in one sentence what is shown.", "Write a caption.", "Caption this picture.",
        "Please describe the image.", "A short description, please.", "Describe it briefly.", "Tell me in a sentence what you see.", "Summarise the picture.", "Can you describe this?", "Describe the scene.", "One sentence about this picture.", "What does the picture show? Answer in a sentence.",
        "Give me a caption for this.", "Describe the image for someone who can't see it.", "describe", "How would you describe this picture?", "Write a short sentence about it.", "Explain what is in the image.", "Put the picture into words.", "In a few words, describe the picture.",
        "Describe this photo.", "Make a caption for the photo.", "Could you describe the photo for me?", "Tell me about this picture.",
    ),
    "is-there": (
        "Is there {a} in the picture?", "Is there {a}?", "Do you see {a}?", "Can you see {a}?", "Does the picture show {a}?", "Is {a} in the photo?", "Is {a} visible?", "Any {many}?", "Are there any {many}?", "Is {a} anywhere in the picture?", "Does this photo contain {a}?",
        "Tell me whether there is {a}.", "Is there {a} to be seen?", "Do you find {a} in this image?", "Have we got {a} here?", "is there {a} here", "Can {a} be seen?", "Is {a} shown?", "Does {a} appear in the picture?", "Look for {a}. Is there one?", "{many}, yes or no?",
        "Is there any sign of {a}?", "Does the image include {a}?", "Could you check if there is {a}?", "Is one of the things {a}?", "In this photo, is there {a}?", "Do any {many} appear?", "Is there at least one {one}?", "Would you say there is {a} in it?", "Please check: is there {a}?",
    ),
    "count": (
        "How many {many} are there?", "How many {many} are in the picture?", "How many {many} do you see?", "Count the {many}.", "Number of {many}?", "How many {many}?", "How many {many} can you see?", "How many {many} are in the photo?", "Tell me how many {many} there are.",
        "how many {many} are there", "What is the number of {many}?", "Please count the {many}.", "How many {many} are shown?", "How many {many} does the picture show?", "Can you count the {many}?", "How many {many} can be seen?", "{many}: how many?", "Say how many {many} are visible.",
        "How many {many} appear in the image?", "I'd like to know the number of {many}.", "How many {many} do we have here?", "Give the number of {many}.", "How many {many} are visible?", "What's the count of {many}?", "How many {many} did the camera catch?", "How many {many} are in this image?",
        "The number of {many}, please.", "In the picture, how many {many} are there?", "Count all {many} in the photo.", "How many {many} can be found?",
    ),
    "where": (
        "Where is the {one}?", "Where in the picture is the {one}?", "In which part of the picture is the {one}?", "Where do you see the {one}?", "Where can I find the {one}?", "Whereabouts is the {one}?", "What is the position of the {one}?", "Position of the {one}?",
        "Tell me where the {one} is.", "Where's the {one}?", "where is the {one}", "Which part of the image shows the {one}?", "Where in the photo is the {one}?", "In what place of the picture is the {one}?", "Where does the {one} appear?", "Find the {one}: where is it?", "Left, right, top, bottom or middle: where is the {one}?",
        "Locate the {one}.", "Where about is the {one}?", "Say where the {one} is.", "What part of the photo is the {one} in?", "Whereabouts in the image is the {one}?", "Could you tell me where the {one} is?", "Where should I look for the {one}?", "The {one}, where is it?", "Where is the {one} placed?",
        "Where is the {one} in this photo?", "Tell me the place of the {one}.", "Please locate the {one}.", "In which area is the {one}?",
    ),
    "kind": (
        "What kind of image is this?", "What type of image is it?", "What kind of picture is this?", "Is this a photo, a document, a chart or a screenshot?", "Which kind of image do we have?", "What sort of image is it?", "Image type?", "Is it a photo or a drawing?", "What is this image: photo, page, chart or drawing?",
        "Tell me the kind of image.", "What type of picture am I looking at?", "Classify the image.", "Name the type of image.", "What category of image is this?", "What form of image is this?", "what kind of image", "Of which kind is this picture?", "How would you classify this image?", "Is this a scan, a photo or a screenshot?",
        "What kind of graphic is it?", "Kind of picture?", "Which type of picture is shown?", "Please say what sort of image this is.", "Would you call this a photo, a chart or a page?", "Give the type of the image.", "What is the nature of this image?", "Is it a photograph, a map, a drawing or a document?", "What medium is this?",
        "Does this look like a photo or something else? What is it?", "Determine the image type.", "In general, what kind of image is it?",
    ),
    "paper-kind": (
        "What kind of document is this?", "What sort of paper is this?", "What type of document do you see?", "Which kind of paper is it?", "What document is that?", "Document type?", "Kind of document?", "What kind of paper do I have here?", "Is it a receipt, an invoice, a form or a letter?", "Name the kind of document.",
        "Which type of document is shown?", "what kind of document is it", "What paper is this?", "Classify this document.", "What sort of document is it?", "Tell me what kind of paper that is.", "Is this an invoice or a receipt?", "What is this paper called?", "Is this a form, a letter, an invoice or a receipt?", "Of which kind is this document?",
    ),
    "sign-beside": (
        "What does the sign beside the {one} say?", "What is written next to the {one}?", "Read the sign near the {one}.", "What does it say beside the {one}?", "Which words are on the sign next to the {one}?", "What's on the sign by the {one}?", "Read what is written beside the {one}.", "The sign next to the {one}: what does it say?",
        "What text stands near the {one}?", "Find the {one} and read the sign beside it.", "What does the sign close to the {one} say?", "Tell me what the sign by the {one} says.", "what is on the sign beside the {one}", "Which sign is next to the {one}?", "Please read the sign that is next to the {one}.", "Look at the sign near the {one}. What does it say?",
        "What is on the board beside the {one}?", "Can you read the sign by the {one}?", "Which text is closest to the {one}?", "Beside the {one} is a sign. Read it.", "What words do you see next to the {one}?", "What is printed beside the {one}?", "Give the text on the sign at the {one}.", "What does the notice next to the {one} say?",
        "Where the {one} is, what does the sign say?", "Text beside the {one}?", "Sign next to the {one}?", "What's written close to the {one}?", "Read me the sign at the {one}'s side.", "What does the label near the {one} say?",
    ),
    "object-and-text": (
        "What is it and what does the sign say?", "What is in the picture and what is written on the sign?", "Name the object and read the sign.", "What do you see, and what does it say?", "Which thing is shown and what is written beside it?", "What is this and what does the text say?", "Tell me the object and the text.", "Object and text?",
        "Say what is shown and read the words.", "What is pictured, and what is the writing?", "What thing is it, and which words are there?", "Read the sign and name the thing.", "Please name the thing and read what is written.", "what is this and what does the sign say", "Identify the object and the words on the sign.", "What's in the photo, and what does the sign say?",
        "Give the name of the thing and the text of the sign.", "What object is it and what is on the sign?", "What can you see and read?", "Which object and which words are in the picture?", "Tell me what this is and what the sign says.", "What does the sign say and what is beside it?", "Name what you see and the text.", "What is shown here and what is written?",
        "Both please: the object and the text.", "What is there to see and to read?", "Describe the object and read the sign.", "Which thing is it? And what does the sign read?", "Say the object's name and the sign's words.", "What is next to the sign, and what does the sign say?",
    ),
    "count-and-text": (
        "How many {many} are there and what does the sign say?", "Count the {many} and read the sign.", "How many {many} do you see, and what is written?", "Is there a sign, what does it say, and how many {many} are there?", "What does the sign say and how many {many} are there?", "Number of {many} and text of the sign?", "Read the sign and count the {many}.",
        "Tell me how many {many} there are and what the sign says.", "How many {many}, and which words are on the sign?", "Please count the {many} and read the text.", "How many {many} are next to the sign, and what does it say?", "what does the sign say and how many {many} are there", "Give the number of {many} and the words on the sign.", "How many {many} are in the picture, and what is written there?",
        "Count {many}; read sign.", "What is written on the sign, and how many {many} can you see?",
    ),
    "is-and-text": (
        "Is there {a} and what is written on the sign?", "Do you see {a}, and what does the sign say?", "Is {a} in the picture? And what is written?", "Tell me if there is {a} and read the sign.", "Is there {a}? What does the text say?", "Check for {a} and read the sign.", "What does the sign say, and is there {a}?", "Is there {a} beside the sign, and what does it say?",
        "Look for {a} and read what is written.", "Can you see {a}, and what is on the sign?", "is there {a} and what does it say", "Does the photo show {a}, and what can be read?", "Read the sign; is there also {a}?", "Is {a} visible, and what are the words on the sign?",
    ),
    "unanswerable-person": (
        "Who is this person?", "Who is that?", "What is the name of this person?", "Do you know who this is?", "Who is in the photo?", "Name the person.", "Which celebrity is this?", "Who am I looking at?", "How old is this person?", "What is the person's name?", "Tell me who this is.", "Is this someone famous? Who?", "Identify this person.",
        "What does this person do for a living?", "Where was this person born?", "Who is the man in the picture?", "Who is the woman in the picture?", "who is it", "Whose face is this?", "Can you recognise this person?",
    ),
    "unanswerable-medical": (
        "What disease does the scan show?", "Is there a tumour?", "What is the diagnosis?", "Is the bone broken?", "Which organ is affected?", "What does the X-ray show?", "Does the patient have pneumonia?", "Is this scan normal?", "Which illness is it?", "What is wrong with the patient?", "Is there a fracture?", "What does the MRI show?", "Which lesion is visible?",
        "Where is the lesion?", "Is the heart enlarged?", "What stage is the disease?", "Does this skin spot look dangerous?", "What does this ultrasound show?", "Which part of the brain is damaged?", "Is there bleeding in the scan?",
    ),
    "unanswerable-other": (
        "When was this photo taken?", "Where was this photo taken?", "Who took this picture?", "What will happen next?", "What is the person thinking?", "How does it smell?", "What did it cost?", "Which camera was used?", "What is behind the camera?", "Who painted this?", "What was here before?", "What does the animal's owner do?", "What's the weather tomorrow?",
        "Who owns this?", "How old is it?", "What is it called by its owner?", "Is it a good idea?", "What is outside the picture?", "In which street was this?", "Whose is it?",
    ),
}  # fmt: skip


def ask(rng: random.Random, key: str, /, **slots: str) -> str:
    """A phrasing of `key`, filled; its first letter is a capital, now and then a small one."""
    slots |= {name.capitalize(): value[:1].upper() + value[1:] for name, value in slots.items()}
    # "plain" is a question that is written out already.
    text = slots["text"] if key == "plain" else rng.choice(PHRASES[key]).format(**slots)
    if rng.random() < 0.9:
        text = text[:1].upper() + text[1:]
    if rng.random() < 0.04:
        text = text.rstrip("?.").rstrip()
    return text
