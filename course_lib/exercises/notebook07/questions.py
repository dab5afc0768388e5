"""Quiz of notebook 07."""

from __future__ import annotations

from course_lib.exercises.quiz import Option, Question

QUIZ = (
    Question(
        'A model gives 0.5 for no words at all, 0.5 for "not", 0.1 for "bad" and 0.7 for "not bad". The Shapley values '
        'are 0.3 for "not" and -0.1 for "bad". They sum to 0.7 - 0.5. What do you know now?',
        (
            Option(
                'If you take "not" out of the text, the output falls by 0.3.',
                "it falls by 0.6, from 0.7 to 0.1. A Shapley value is a mean over all orders in which the words could "
                "come, and here it is the mean of 0 and 0.6. What is lost when one word leaves is occlusion.",
            ),
            Option(
                "How the 0.2 between no text and the whole text is shared out, with nothing lost or counted twice.",
                "this is efficiency, and it holds for Shapley values of any model. That the sum is right does not make "
                "each part right: 0.1 for each word has the same sum.",
            ),
            Option(
                'That "bad" speaks against the class in every sentence.',
                'the values belong to this text. In "not bad" itself the word raises the output, from 0.5 to 0.7. It '
                "is the mean with the other order that is below 0.",
            ),
            Option(
                'That "not" is why the review was liked.',
                "nothing here is about the writer or the film. The values say what the model does with these words.",
            ),
        ),
        right="b",
    ),
    Question(
        'In the last layer, the first token gives 60 % of its attention to "terrible". Did this word decide?',
        (
            Option(
                "Yes: it did 60 % of the work.",
                "the weights say from where vectors are mixed. What the mixed vectors do afterwards is another matter, "
                "and other paths lead past the attention.",
            ),
            Option(
                "No: attention has nothing to do with the answer.",
                "it is a part of the computation, and at times it agrees with what does matter. You cannot know this "
                "beforehand.",
            ),
            Option(
                "You cannot tell from this. Take the word out and ask the model again.",
                "a weight has no sign, and does not say for which class. Quite other weights often give the same "
                "answer (Jain and Wallace 2019, arXiv:1902.10186). What the word does shows when it is gone.",
            ),
        ),
        right="c",
    ),
    Question(
        "You run LIME twice on the same text, with 100 samples each, and another seed. The most important word is not "
        "the same. What do you do?",
        (
            Option(
                "Take many more samples or seeds, and say how far the scores scatter.",
                "LIME draws its samples, so each score has an error. Four times as many samples halve it. Two words "
                "whose scores scatter by more than they differ have no order.",
            ),
            Option(
                "Keep the run with the higher R2.",
                "R2 says how well the line fits the samples of its run. To choose among seeds is to choose luck.",
            ),
            Option(
                "Make the kernel wider, until both agree.",
                "then you ask about a larger neighbourhood. The answers may agree, but they are about something else.",
            ),
            Option(
                "Distrust the model: it gives different answers to the same text.",
                "the model gave the same probability for the same text both times. The two runs asked about different "
                "texts.",
            ),
        ),
        right="a",
    ),
    Question(
        'Ten readers like explanation A: it marks the words that they would have marked. Explanation B marks "Friday" '
        "and a comma. Without A's words the probability falls by 0.05, without B's by 0.40, and without as many words "
        "taken at random by 0.06. Which one tells you what the model does?",
        (
            Option(
                "A: an explanation is for people, and they understand it.",
                "this is plausibility. It says that A looks like a reason of ours, and the model does well without "
                "these words.",
            ),
            Option(
                'A: "Friday" cannot be a reason, so B is a mistake.',
                "it cannot be a good reason, but it may be the model's. You look for explanations to find just that.",
            ),
            Option(
                "Both, each by half.",
                "A does no better than words at random. There is nothing in it to share.",
            ),
            Option(
                "B: without its words the model changes its mind.",
                "this is faithfulness: the explanation is right about the model. That nobody likes it is news about "
                "the model, and perhaps about the data that it learned from.",
            ),
        ),
        right="d",
    ),
    Question(
        'To see what "not" does, you delete it. A colleague puts [MASK] in its place. A third starts from embeddings '
        "of zeros. You get three different scores. Who is right?",
        (
            Option(
                "You: what is left after deleting is made of real words.",
                'real words, but it is another text: "not bad" becomes "bad". Other deletions leave sentences that '
                "nobody writes, and the model never saw.",
            ),
            Option(
                "Your colleague: the model knows [MASK] from pretraining.",
                "a classifier may never have met it since. What it does with [MASK] there is not neutral by nature.",
            ),
            Option(
                "Each of you, for a question of your own. Say which, and see whether your conclusion survives another.",
                'a score compares the text with one in which the word is missing, and "missing" has no single meaning '
                "for a model. The baseline is a part of the question.",
            ),
            Option(
                "The third: only zero means nothing at all.",
                "zero is a point like any other in the space of embeddings, and no token lies there. A model may do "
                "anything at a place that it never saw.",
            ),
        ),
        right="c",
    ),
)
