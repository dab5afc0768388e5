"""Quiz of notebook 04."""

from __future__ import annotations

from course_lib.exercises.quiz import Option, Question

QUIZ = (
    Question(
        "With 500 training sentences, EDA gave small networks without pretraining about three points of accuracy "
        "(Wei and Zou 2019). What should you expect of it for a pretrained BERT?",
        (
            Option(
                "The same three points: the data are the same.",
                "the data are, the models are not. Pretraining has shown BERT many wordings already.",
            ),
            Option(
                "More, since a larger model needs more data.",
                "a model trained from nothing does. A pretrained one brings its data along.",
            ),
            Option(
                "No gain that you could rely on. Measure it on your task before you keep it.",
                "over six data sets and BERT, XLNet and RoBERTa, neither EDA nor back-translation helped consistently, "
                "even with little training data (Longpre et al. 2020, arXiv:2010.01764).",
            ),
            Option(
                "A loss, always: wrong text spoils a pretrained model.",
                "some settings gained and some lost. Always is as wrong as never here.",
            ),
        ),
        right="c",
    ),
    Question(
        "Your texts are reviews, labelled positive or negative. Which rewriting puts the labels most at risk?",
        (
            Option(
                "Each word is dropped with probability 0.3.",
                "the word may be `not`, or the only one that judges. The text turns round, or says nothing, and the "
                "label stays: that teaches the model something false.",
            ),
            Option(
                "A comma is inserted before some words.",
                "all words stay, in their order. A reader would give the same label.",
            ),
            Option(
                "Two words change places.",
                "it can happen (`not good but bad`), but the words that judge all stay. To drop them is worse.",
            ),
            Option(
                "Vectors and labels of two reviews are mixed.",
                "the label is mixed by the same weights, so it goes along with the text.",
            ),
        ),
        right="a",
    ),
    Question(
        "You rewrite each of 2,000 labelled sentences four times, and then split all 10,000 at random into training "
        "(80 %) and test. The accuracy rises from 85 to 96 %. Why?",
        (
            Option(
                "Five times as much data.",
                "there is nothing new in them: the same 2,000 sentences and labels, with other words here and there.",
            ),
            Option(
                "Siblings of nearly every test sentence stand in the training part, with the answer.",
                "four of five versions of a sentence go into training. Split the originals first, then augment the "
                "training part alone.",
            ),
            Option(
                "The test part is larger now, so its figure is more certain.",
                "more sentences make an interval narrower, they do not move it up. And these are not independent.",
            ),
        ),
        right="b",
    ),
    Question(
        "Should the sentences of the test part be rewritten too?",
        (
            Option(
                "Yes, so that training and test look alike.",
                "the test part should look like the texts that will come, and nobody will rewrite those.",
            ),
            Option(
                "Yes, it makes the test part larger for nothing.",
                "copies bring no new evidence. The interval looks narrower than it is.",
            ),
            Option(
                "Only those that the model gets wrong.",
                "then the model chooses its own exam. The figure means nothing any more.",
            ),
            Option(
                "No. It stands for the texts that will come, with labels that somebody has checked.",
                "a rewritten sentence may have a wrong label, and nobody looked. Who asks how the model bears typing "
                "errors makes a second figure, beside the first one.",
            ),
        ),
        right="d",
    ),
    Question(
        "One run with four rewrites of each sentence has 88 %, one without has 87 %, on the same 2,000 test "
        "sentences. What now?",
        (
            Option(
                "Keep the augmentation: a point is a point.",
                "another seed alone often moves a fine-tuned model by as much. You have seen one draw of each.",
            ),
            Option(
                "Run both with several seeds and equally many steps, and look at the interval of the difference.",
                "seeds differ, and so do test sentences: at 87 %, 2,000 of them leave 1.5 points either way. And five "
                "times the data means five times the steps, which may help without any rewriting.",
            ),
            Option(
                "Run the augmented one again until it is clearly better.",
                "that is to choose the luckiest run. The other side would deserve as many tries.",
            ),
        ),
        right="b",
    ),
)
