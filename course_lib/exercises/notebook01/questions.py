"""Quiz of notebook 01."""

from __future__ import annotations

from course_lib.exercises.quiz import Option, Question

QUIZ = (
    Question(
        "Why are the scores of attention divided by the root of the width $d$?",
        (
            Option(
                "So that the weights of each query add up to 1.",
                "the softmax sees to that, whatever the scores are.",
            ),
            Option(
                "Products of wide vectors spread widely, and a softmax of large scores is nearly all on one key.",
                "the sum of $d$ products of unit size has a spread of about $\\sqrt d$. Divided by it, the spread is "
                "1, the softmax stays soft, and gradients flow.",
            ),
            Option(
                "To save arithmetic.",
                "it costs one division more for each score. It is done for the training, not for the speed.",
            ),
        ),
        right="b",
    ),
    Question(
        "An encoder without any positional encoding reads a text, and then the same text with its words shuffled. "
        "What happens to the vector of the word `film`?",
        (
            Option(
                "Nothing, up to rounding: it only stands elsewhere.",
                "attention is a weighted mean over a set. Without positions, `dog bites man` is `man bites dog`.",
            ),
            Option(
                "It changes, because its neighbours are others now.",
                "attention knows no neighbours. It knows how well a key fits, and the fit does not depend on the "
                "place.",
            ),
            Option(
                "It changes, because the feed-forward block mixes the words.",
                "that block works on each word alone, with the same weights for all.",
            ),
        ),
        right="a",
    ),
    Question(
        "You double the length of a text. What happens to the number of attention scores in one head?",
        (
            Option(
                "It doubles.",
                "the queries double. But each of them also meets twice as many keys.",
            ),
            Option(
                "It stays, because the weights of the model stay.",
                "the learned weights do not depend on the length. The scores do: one for each pair of tokens.",
            ),
            Option(
                "It grows eightfold.",
                "that would be the third power. Pairs grow with the second.",
            ),
            Option(
                "It grows fourfold.",
                "every token asks every token, so there are $n^2$ scores. That is why long texts are dear.",
            ),
        ),
        right="d",
    ),
    Question(
        "You trained an encoder to predict the next word, and by mistake its causal mask was one place too wide. "
        "What do you see?",
        (
            Option(
                "An error about shapes.",
                "all shapes are right. That is why this mistake is so hard to find.",
            ),
            Option(
                "A loss that falls close to 0 in training, and nonsense when the model writes.",
                "it has learned to copy the answer, which it could see. When it writes, the next word is not there "
                "to be copied.",
            ),
            Option(
                "A loss that does not fall.",
                "the task has become easier, not harder: the answer stands in the input.",
            ),
        ),
        right="b",
    ),
    Question(
        "BERT is called autoencoding, GPT autoregressive. What makes the difference in the encoder's arithmetic?",
        (
            Option(
                "The layers are built in another way.",
                "heads, feed-forward blocks and norms are of the same kind. The same weights can run both ways.",
            ),
            Option(
                "GPT has a decoder that reads what an encoder gives.",
                "that was the first Transformer of 2017, for translation. GPT has one stack of layers, as BERT has.",
            ),
            Option(
                "The mask: in GPT a word sees only itself and what came before.",
                "so GPT can write word after word, and BERT can use both sides of a word. One flag switches between "
                "them.",
            ),
        ),
        right="c",
    ),
)
