"""Word lists written by hand: what WordNet does not have.

The first half are the closed classes of English and the adverbs that work like them ("very", "just", "still"). They
have no synonyms, and they cue the part of speech of the words beside them. WordNet has none of them, yet it knows "in"
(the inch), "he" (helium) and "it" (information technology).

The second half are forms that WordNet's lists of irregular forms (*.exc) do not settle. Those lists lead from a form to
its lemma. Turned around they leave open which of "went" and "gone" is the past and which the participle, whether the
irregular form is the usual one ("showed", not "shown"), and they lack verbs that never change ("put").
"""

from __future__ import annotations


def word_set(listed: str) -> frozenset[str]:
    """The words of a list with blanks between."""
    return frozenset(listed.split())


BE = word_set("be am is are was were been being 's 're 'm ain't isn't aren't wasn't weren't")
HAVE = word_set("have has had having 've haven't hasn't hadn't")
DO = word_set("do does did doing done don't doesn't didn't")
MODALS = word_set(
    "can could may might must shall should will would ought cannot can't couldn't mustn't shouldn't won't wouldn't "
    "'ll 'd"
)
DETERMINERS = word_set(
    "a an the this that these those my your his her its our their whose some any no every each either neither "
    "another such all both what which"
)
SUBJECTS = word_set("i you he she it we they who i'd you'd he'd she'd we'd they'd i'll you'll we'll they'll")
PRONOUNS = SUBJECTS | word_set(
    "me him us them mine yours hers ours theirs myself yourself himself herself itself ourselves yourselves "
    "themselves oneself one ones someone somebody something anyone anybody anything everyone everybody everything "
    "nobody nothing none whom whoever whatever whichever other others"
)
PREPOSITIONS = word_set(
    "about above across after against along amid among around as at before behind below beneath beside besides "
    "between beyond by despite down during except for from in into of off on onto out over per since through "
    "throughout till toward towards under until up upon via with within without"
)
CONJUNCTIONS = word_set(
    "and but or nor if because although though unless whereas while whether than when where why how whenever wherever"
)
NEGATIONS = frozenset({"not", "n't", "never"})
DEGREES = word_set("very too so as more most less least quite rather how")
# Adverbs and quantifiers that hold a sentence together more than they name anything.
_PARTICLES = word_set(
    "to own just only even also still yet ever again then there here now else much many few several enough "
    "don re ve ll"  # and what a typographic apostrophe leaves of "don’t", "we’re"
)
_NUMERALS = word_set(
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion"
)
_OPEN = frozenset({"quite", "rather"})  # they cue an adjective, and WordNet's synonyms for them are sound

AUXILIARIES = BE | HAVE | DO | MODALS
CLOSED_CLASS = (
    AUXILIARIES | DETERMINERS | PRONOUNS | PREPOSITIONS | CONJUNCTIONS | NEGATIONS | DEGREES | _PARTICLES | _NUMERALS
) - _OPEN

# Past and participle where the lists give three forms, or two that the rules in morphology.py cannot tell apart.
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
    "outbid": ("outbid", "outbid"),
    "overbid": ("overbid", "overbid"),
    "shrink": ("shrank", "shrunk"),
    "sink": ("sank", "sunk"),
    "slide": ("slid", "slid"),
    "smite": ("smote", "smitten"),
    "swell": ("swelled", "swollen"),
    "transship": ("transshipped", "transshipped"),
}

# Verbs whose listed forms are rare, British or mistaken: the regular forms are used.
REGULAR_VERBS = word_set(
    "abide address arc bless burn bypass curse dive dream geld gild gin gird gnaw grave grip heave lade lean leap "
    "learn melt misspell overflow pen program prove shave smell sneak spell spill spoil squeegee stave swap talc "
    "trammel transfix unclothe unlearn work"
)

# Past and participle are the lemma, and the list shows no doubled "-tting" that would tell.
UNCHANGED_VERBS = word_set(
    "broadcast burst cast cost forecast hurt miscast misread podcast proofread read recast reread shed spread telecast "
    "thrust typecast"
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
    "addendum alumna alumnus alveolus bacillus bronchus cilium corpus criterion curriculum datum erratum fungus genus "
    "larva locus medium minutia monsieur nucleolus nucleus ovum paparazzo phenomenon phylum quantum radius "
    "spermatozoon stimulus stratum tableau vertebra"
)

# Nouns whose listed plural is rare or belongs to another sense: "beeves", "taxies", "staves".
REGULAR_NOUNS = word_set("beef bus flagstaff gas ginkgo imago turf vertigo")

# One form for one and for many; so has every noun in "-fish".
UNCHANGED_NOUNS = word_set(
    "aircraft bison chassis cod corps deer hovercraft means moose offspring rendezvous salmon series sheep shrimp "
    "spacecraft species swine trout watercraft"
)

# Nouns that are plural already, name no single thing, or whose plural WordNet would not lead back.
NO_PLURAL = word_set(
    "advice behalf cattle celluloid clergy equipment folk furniture gentry humankind humor humour information "
    "knowledge laughter mankind meatloaf merriment music people poetry police scenery schoolchild vermin weather"
)

# Nouns in "-ness" and "-hood" that can be counted; the others have no plural here.
COUNTED = word_set(
    "brotherhood business childhood eyewitness falsehood governess harness highness illness kindness likelihood "
    "likeness neighborhood neighbourhood sickness sisterhood weakness wilderness witness"
)

# "-man" that is no man.
NOT_MEN = word_set(
    "brahman caiman cayman ceriman doberman german hanuman human norman roman saman shaman soman talisman"
)

# "ch" spoken as k takes "-s".
HARD_CH = word_set("epoch eunuch hierarch loch matriarch monarch oligarch patriarch stomach tech")

# Adjectives that certainly take "-er" and "-est" by rule. Those in "-y" and those that double a letter are listed.
GRADABLE = word_set(
    "able ample bald bare bland bleak blind blunt bold brash brave brief bright brisk broad calm cheap clean clear "
    "clever close coarse cold cool crisp crude cruel cute damp dank dark dear deep dense dull dumb faint fair fast "
    "feeble fierce fine firm fond foul frail frank fresh full gaunt gentle grand grave gray great green grey gross "
    "hard harsh high hoarse huge humble keen kind large late lax lean lewd light limp lithe long loose loud low lush "
    "mean meek mellow mild moist narrow near neat new nice nimble noble odd old pale plain plump plush poor proud pure "
    "quaint quick quiet rare raw rich ripe rough rude safe sane shallow sharp short shrewd shrill sick simple slack "
    "slick slow small smart smooth soft sound sour sparse steep stern stiff stout straight strange strict subtle "
    "supple sweet swift tall tame tart taut tender tense terse thick tight tough trite vague vain vast warm weak weird "
    "white wide wild wise"
)
