"""Questions, English words and sentences with their French translations, and texts with questions: our own.

An item is `question=answer/another accepted answer`; items are separated by semicolons.
"""

from __future__ import annotations

_TEST = {
    "common facts": """
What is the capital of France?=Paris; What is the capital of Japan?=Tokyo; What is the capital of Italy?=Rome;
What is the capital of Germany?=Berlin; What is the capital of Spain?=Madrid; What is the capital of Russia?=Moscow;
What is the capital of China?=Beijing; What is the capital of the United Kingdom?=London;
What is the capital of Egypt?=Cairo; Which planet is closest to the Sun?=Mercury;
Which planet of the solar system is the largest?=Jupiter; How many days are there in a week?=7/seven;
How many continents are there?=7/seven; What color do you get by mixing blue and yellow paint?=green;
Who wrote Romeo and Juliet?=Shakespeare; What is the largest ocean?=Pacific;
What is the chemical formula of water?=H2O/H₂O; How many legs does a spider have?=8/eight;
How many minutes are there in an hour?=60/sixty; In which country are the pyramids of Giza?=Egypt""",
    "less common facts": """
What is the capital of Mongolia?=Ulaanbaatar/Ulan Bator; What is the capital of Paraguay?=Asunción/Asuncion;
What is the capital of Burkina Faso?=Ouagadougou; What is the capital of Laos?=Vientiane;
What is the capital of Slovenia?=Ljubljana; What is the capital of Eritrea?=Asmara;
What is the capital of Bhutan?=Thimphu; What is the chemical symbol of tungsten?=W;
What is the chemical symbol of antimony?=Sb; Who discovered penicillin?=Fleming;
Who wrote The Master and Margarita?=Bulgakov; Who painted The Night Watch?=Rembrandt;
In which year did the Berlin Wall fall?=1989; In which year was the first iPhone sold?=2007;
What is the longest bone in the human body?=femur; Which river flows through Baghdad?=Tigris;
What is the highest mountain in Africa?=Kilimanjaro; What is the currency of Vietnam?=dong;
Who composed the opera Carmen?=Bizet; How many keys does a piano usually have?=88""",
    "arithmetic": """
What is 2 plus 3?=5; What is 7 plus 5?=12; What is 9 minus 4?=5; What is 15 minus 8?=7; What is 3 times 4?=12;
What is 6 times 7?=42; What is 8 times 9?=72; What is 12 times 3?=36; What is 20 divided by 4?=5;
What is 81 divided by 9?=9; What is 25 plus 17?=42; What is 48 plus 36?=84; What is 100 minus 37?=63;
What is 64 minus 29?=35; What is 14 times 6?=84; What is 23 times 11?=253; What is 144 divided by 12?=12;
What is 500 plus 250?=750; What is 1000 minus 1?=999; What is 17 times 8?=136""",
    "French words": """
dog=chien; cat=chat; house=maison; water=eau; bread=pain; book=livre; red=rouge; big=grand/grande/gros/grosse;
school=école; car=voiture; friend=ami/amie; tree=arbre; night=nuit; apple=pomme; milk=lait; sun=soleil;
happy=heureux/heureuse/content/contente; to eat=manger; key=clé/clef; window=fenêtre""",
    "French sentences": """
Good morning.=bonjour; Thank you very much.=merci beaucoup; I am hungry.=j'ai faim;
What is your name?=comment vous appelez-vous/comment t'appelles-tu/quel est votre nom/quel est ton nom;
I love you.=je t'aime/je vous aime; The cat is black.=le chat est noir;
Where is the station?=où est la gare/où se trouve la gare; I do not understand.=je ne comprends pas;
The book is on the table.=le livre est sur la table; It is raining.=il pleut;
We live in Paris.=nous habitons à paris/nous vivons à paris/on habite à paris;
She has two brothers.=elle a deux frères; I am tired.=je suis fatigué/je suis fatiguée;
How much does it cost?=combien ça coûte/combien cela coûte-t-il/combien coûte-t-il/combien est-ce que ça coûte;
I would like a coffee.=je voudrais un café/j'aimerais un café/je voudrais du café; See you tomorrow.=à demain;
The children are playing.=les enfants jouent/les enfants sont en train de jouer;
My house is small.=ma maison est petite;
He reads a newspaper.=il lit un journal; The train is late.=le train est en retard""",
    "reading": """
In which town is the bakery?=Tellin; When did the bakery open?=1987; Who opened the bakery?=Mira;
How many employees does the bakery have?=eleven/11; On which day is the bakery closed?=Monday/Mondays;
What is the bakery's best-known product?=rye bread; How much does the rye bread cost?=four euros/4 euros;
Who taught Mira to bake?=grandfather/Osvald; What was Osvald's job?=ship's cook;
For how many years did Osvald work as a ship's cook?=thirty/30; Who delivers the bread?=Jonas;
How is the bread delivered?=bicycle; To how many hotels is bread delivered?=six/6;
In which year was the shop flooded?=2003; For how many weeks was the shop closed after the storm?=nine/9;
What color is the new oven?=green; Who runs the bakery today?=Elin; What did Elin study?=chemistry;
In which city did Elin study?=Bergen; How many seats does the café have?=twenty/20""",
}

# Other items, with which the prompts were chosen.
_VALIDATION = {
    "common facts": """
What is the capital of Greece?=Athens; Which planet do we live on?=Earth;
How many months are there in a year?=12/twelve;
What do bees make?=honey; What is frozen water called?=ice""",
    "less common facts": """
What is the capital of Nepal?=Kathmandu; Who painted Guernica?=Picasso; What is the chemical symbol of tin?=Sn;
Which river flows through Vienna?=Danube; In which year did the Titanic sink?=1912""",
    "arithmetic": """
What is 4 plus 4?=8; What is 18 minus 9?=9; What is 5 times 7?=35; What is 30 divided by 6?=5;
What is 37 plus 26?=63""",
    "French words": """
hand=main; green=vert/verte; to drink=boire; horse=cheval; street=rue; flower=fleur; bird=oiseau; cheese=fromage""",
    "French sentences": """
Good evening.=bonsoir; I am cold.=j'ai froid; The door is open.=la porte est ouverte; I like music.=j'aime la musique;
He has a dog.=il a un chien; Where are you?=où es-tu/où êtes-vous; The sky is blue.=le ciel est bleu;
I speak a little French.=je parle un peu français/je parle un peu le français""",
    "reading": """
What is the name of the dog?=Biscuit; Who found the dog?=Amara; Where was the dog found?=bus stop/a bus stop;
How old is the dog?=three/3; What does the dog eat?=carrots; When was the dog found?=March""",
}

PARTS = {"test": _TEST, "validation": _VALIDATION}

PARAGRAPHS = {
    "test": """Mira Halvorsen opened a bakery in the harbour town of Tellin in 1987. The bakery has eleven employees and
is closed on Mondays. Its best-known product is a dark rye bread with walnuts, which costs four euros. Mira learned to
bake from her grandfather Osvald, who had worked as a ship's cook for thirty years. Her brother Jonas delivers bread by
bicycle to six hotels every morning. In 2003 a storm flooded the shop, and it stayed closed for nine weeks. The
neighbours collected money for a new oven, which is painted green. Today the bakery is run by Mira's daughter Elin, who
studied chemistry in Bergen and added a café with twenty seats.""",
    "validation": """One morning in March, Amara found a small brown dog at a bus stop. The dog is three years old, and
she called it Biscuit. It sleeps under the stairs and likes to eat carrots.""",
}

# Earlier turns of the conversation in the few-shot prompts.
EXAMPLES = {
    "question": (
        ("What is the capital of Portugal?", "Lisbon"), ("What is 3 plus 6?", "9"), ("Who wrote Emma?", "Jane Austen"),
        ("What is 40 divided by 8?", "5"),
    ),
    "translation": (
        ("table", "table"), ("The milk is cold.", "Le lait est froid."), ("garden", "jardin"),
        ("Where do you live?", "Où habitez-vous ?"),
    ),
    "reading": (
        ("Lena bought a blue boat for two hundred euros.\n\nWhat color is the boat?", "blue"),
        ("The library opens at nine. It has a large garden.\n\nWhen does the library open?", "at nine"),
    ),
}  # fmt: skip


def items(task: str, part: str) -> list[tuple[str, tuple[str, ...]]]:
    """(question, accepted answers) of a task; `part` is `test` or `validation`."""
    rows = [item.strip().split("=") for item in PARTS[part][task].split(";")]
    return [(question, tuple(answers.split("/"))) for question, answers in rows]
