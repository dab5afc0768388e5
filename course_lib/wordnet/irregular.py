"""What the lists of irregular forms do not say, written by hand.

The lists (*.exc) lead from a form to its lemma. Turned around they leave open which of "went" and "gone" is the
past and which the participle, whether the irregular form is the usual one ("showed", not "shown"), and they lack
verbs that never change ("put").
"""

from __future__ import annotations

from course_lib.wordnet.closed_class import word_set

# Past and participle where the lists give three forms, or two that the rules in inflection.py cannot tell apart.
PRINCIPAL_PARTS = {
    "bear": ("bore", "borne"),
    "beat": ("beat", "beaten"),
    "beget": ("begot", "begotten"),
    "begin": ("began", "begun"),
    "bid": ("bid", "bid"),
    "bestride": ("bestrode", "bestridden"),
    "browbeat": ("browbeat", "browbeaten"),
    "chide": ("chided", "chided"),
    "clothe": ("clothed", "clothed"),
    "cleave": ("cleaved", "cleaved"),
    "forbid": ("forbade", "forbidden"),
    "get": ("got", "got"),
    "lie": ("lay", "lain"),
    "outbid": ("outbid", "outbid"),
    "overbid": ("overbid", "overbid"),
    "overlie": ("overlay", "overlain"),
    "shrink": ("shrank", "shrunk"),
    "sink": ("sank", "sunk"),
    "slide": ("slid", "slid"),
    "smite": ("smote", "smitten"),
    "swell": ("swelled", "swollen"),
    "transship": ("transshipped", "transshipped"),
    "underlie": ("underlay", "underlain"),
}

# Verbs whose listed forms are rare, British or mistaken: the regular forms are used.
REGULAR_VERBS = word_set(
    "abide address arc bless burn bypass caddie caddy coordinate curse deepfreeze dive dream fee geld gild gin gird "
    "gnaw grave grip heave ken lade lean leap learn melt misspell overflow overpass pasquinade pen popes program "
    "prologue prove shave smell sneak spell spill spoil squeegee stave swap talc taxis testes torrefy trammel "
    "transfix unclothe unlearn work"
)

# Past and participle are the lemma, and the list shows no doubled "-tting" that would tell.
UNCHANGED_VERBS = word_set(
    "broadcast burst cast cost forecast hurt miscast misread outspread podcast proofread read recast reread shed "
    "spread telecast thrust typecast"
)

# Verbs that double a letter, or may, and are not listed: no "-ed" and "-ing".
UNSURE_VERBS = word_set(
    "anagram backlog backslap backstop bebop bedhop bespot blacktop bobsled bootstrap cooccur defat defog dogsled "
    "egotrip input namedrop readmit reallot rejig reship resubmit shrinkwrap suntan teargas thermostat unclip unknot "
    "unstrap whistlestop wiretap"
)

# Verbs that keep the "e" before "-ing": "singing" is said of songs.
KEEP_E = frozenset({"binge", "singe", "swinge", "tinge"})

# Latin and Greek plurals without a usual English one. For the rest ("aortae", "stadia") the regular form is used.
CLASSICAL_PLURALS = word_set(
    "addendum alga alumna alumnus alveolus bacillus bacterium bronchus cilium corpus criterion curriculum datum "
    "erratum fungus genus larva locus medium minutia monsieur nucleolus nucleus ovum paparazzo phenomenon phylum "
    "quantum radius spermatozoon stimulus stratum tableau vertebra"
)

# Nouns whose listed plural is rare or belongs to another sense: "beeves", "taxies", "staves".
REGULAR_NOUNS = word_set("alkali beef bus flagstaff gas ginkgo halter imago staff swami taxi turf vertigo")

# One form for one and for many; so has every noun in "-fish".
UNCHANGED_NOUNS = word_set(
    "aircraft bison chassis cod corps deer fish hovercraft means moose offspring rendezvous salmon series sheep "
    "shrimp spacecraft species swine trout watercraft"
)

# Nouns that stand for many already, name no single thing, or whose plural WordNet would not lead back.
NO_PLURAL = word_set(
    "advice behalf cattle celluloid clergy equipment folk furniture gentry happiness humankind humor humour "
    "information knowledge laughter mankind meatloaf merriment music people poetry police scenery schoolchild vermin "
    "weather"
)

# Nouns in "-ness" and "-hood" that can be counted; the others have no plural here.
COUNTED = word_set(
    "brotherhood business childhood eyewitness falsehood governess harness highness illness kindness likelihood "
    "likeness neighborhood neighbourhood sickness sisterhood weakness wilderness witness"
)

# "-man" that is no man.
NOT_MEN = word_set(
    "brahman caiman cayman ceriman doberman german hanuman human mussulman norman ottoman roman saman shaman soman "
    "subhuman superhuman talisman toman"
)

# "ch" spoken as k takes "-s".
HARD_CH = word_set("epoch eunuch hierarch loch matriarch monarch oligarch patriarch stomach tech")

# Adjectives that surely take "-er" and "-est" by rule. Those in "-y" and those that double a letter are listed.
GRADABLE = word_set(
    "able ample bald bare bland bleak blind blunt bold brash brave brief bright brisk broad calm cheap clean clear "
    "clever close coarse cold cool crisp crude cruel cute damp dank dark dear deep dense dull dumb faint fair fast "
    "feeble fierce fine firm fond foul frail frank fresh full gaunt gentle grand grave gray great green grey gross "
    "hard harsh high hoarse huge humble keen kind large late lax lean lewd light limp lithe long loose loud low lush "
    "mean meek mellow mild moist narrow near neat new nice nimble noble odd old pale plain plump plush poor proud "
    "pure quaint quick quiet rare raw rich ripe rough rude safe sane shallow sharp short shrewd shrill sick simple "
    "slack slick slow small smart smooth soft sound sour sparse steep stern stiff stout straight strange strict "
    "subtle supple sweet swift tall tame tart taut tender tense terse thick tight tough trite vague vain vast warm "
    "weak weird white wide wild wise"
)
