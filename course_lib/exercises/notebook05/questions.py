"""Quiz of notebook 05."""

from __future__ import annotations

from course_lib.exercises.quiz import Option, Question

QUIZ = (
    Question(
        "A report says: the attack succeeds on 92 % of the sentences. What must you know before this means anything?",
        (
            Option(
                "How many parameters the model has.",
                "that may interest you, but large and small models are attacked in the same ways.",
            ),
            Option(
                "Whether 92 % is significant.",
                "an interval belongs to it, but an exact figure of something undefined is still undefined.",
            ),
            Option(
                "What the attacker may change, knows of the model, may ask it, and what counts as a success.",
                "this is the threat model. With gradients, any word and no limit of questions, nearly every model "
                "falls. With two typing errors and ten questions, few do.",
            ),
        ),
        right="c",
    ),
    Question(
        "A defence rounds all embeddings. Attacks by gradient now succeed on 5 % instead of 80 %. An attack that only "
        "asks for probabilities succeeds on 70 %. What has happened?",
        (
            Option(
                "The gradient no longer shows the way, but the weak places are where they were.",
                "rounding has a slope of 0 nearly everywhere. This is gradient masking: an attack that knows of the "
                "defence goes round it (Athalye et al. 2018, arXiv:1802.00420).",
            ),
            Option(
                "The model is robust against strong attacks, and open to weak ones.",
                "an attacker who may use gradients may also do without them. The stronger one has at least 70 %.",
            ),
            Option(
                "The second attack was lucky.",
                "luck does not carry 70 %. That an attack which knows less does better is the typical sign of masking.",
            ),
            Option(
                "Rounding makes the model's decisions random.",
                "it is the same rounding every time. Nothing about it is random.",
            ),
        ),
        right="a",
    ),
    Question(
        "An attack exchanges words for synonyms and changes 85 % of the predictions. How fragile is the model?",
        (
            Option(
                "Very: 85 % of the sentences with the same meaning are judged otherwise.",
                "that would follow if the meaning were the same. A list of synonyms does not promise it.",
            ),
            Option(
                "You cannot say until people have read what came out.",
                "of four such attacks on BERT, 96 to 99 % of the analysed ones did not keep the meaning (Hauser et al. "
                "2021, arXiv:2109.07403). Where `funny` has become `odd`, the new prediction may be right.",
            ),
            Option(
                "Not at all, since nobody writes such sentences.",
                "some do, on purpose: whoever wants a text to pass a filter. Those that kept their meaning count.",
            ),
        ),
        right="b",
    ),
    Question(
        "A sentence has 20 words and each has 8 candidates. A greedy search ranks the words by leaving out one at a "
        "time, then tries all candidates of one word after another. How often does it ask the model at most?",
        (
            Option(
                "160 times.",
                "these are the candidates. The ranking and the sentence itself are asked about too.",
            ),
            Option(
                "181 times.",
                "once for the sentence, 20 times to rank, and 20 times 8 candidates. A service that limits or watches "
                "questions makes this expensive, so a success rate belongs beside its number of questions.",
            ),
            Option(
                "About $10^{19}$ times.",
                "that is $9^{20}$, all sentences that can be made. The greedy search sees a tiny part of them, "
                "and may miss the best.",
            ),
            Option(
                "28 times.",
                "20 plus 8 would do if one word were tried. At worst it goes through all of them.",
            ),
        ),
        right="b",
    ),
    Question(
        "You train a model on the examples that attack A has found. Under attack A its accuracy rises from 20 to 70 %. "
        "What else belongs in the report?",
        (
            Option(
                "Nothing: 70 % under attack is what was asked for.",
                "it is robust against A, as A was. About any other attack you know nothing.",
            ),
            Option(
                "How it does on the very examples it was trained on.",
                "that is its training set. The attack has to be run anew, against the new model.",
            ),
            Option(
                "How it does on the examples that fooled the old model.",
                "they were made for the old weights. A new model is fooled by other ones, so they flatter it.",
            ),
            Option(
                "Its accuracy without any attack, the time it took to train, and attacks that know of the defence.",
                "a defence often costs some accuracy on ordinary text, and each step has an attack in it. And the "
                "attacker moves last: who knows of the defence goes round it if he can.",
            ),
        ),
        right="d",
    ),
)
