"""The small words that make grammar: they have no synonyms, and they tell what stands beside them.

WordNet has none of them, yet it knows "in" (the inch), "he" (helium) and "it" (information technology). Written by
hand: the closed classes of English, and the adverbs that work like them ("very", "just", "still").
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
