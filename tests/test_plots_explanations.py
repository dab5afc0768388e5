"""Heat maps of words can be read without colours; pictures of explanations say their finding and fit their frame."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_plots import check_figure, names_are_apart, points, texts, ticks, title, whisker_ends
from toy_games import Three, additive, tangled

from course_lib import explain as explaining
from course_lib import plots
from course_lib.errors import BadInput
from course_lib.explain import Attribution, Curve, Word, explain
from course_lib.plots import explanations, scored_text

mpl.use("Agg")

TEXT = 'A very <good> film, "really" -- isn\'t bad & long 👍🏽!\nGood, though.'


def made(scores, text="good bad film", **more) -> Attribution:
    """An attribution of a text's words with these scores."""
    spans = [match.span() for match in re.finditer(r"\w+", text)]
    words = tuple(Word(text[a:b], ((a, b),)) for a, b in spans)
    told = {"base_value": 0.5, "value": 0.7, "target": "yes", "method": "shap", "queries": 8} | more
    return Attribution(text, words, np.array(scores, float), **told)


ONE = made([0.3, -0.2, 0.05])
MANY = explain(tangled(), [TEXT], "shap", samples=64, target="yes")[0]
RUNS = [explain(tangled(), [TEXT], "lime", samples=50, seed=seed, target="yes")[0] for seed in range(4)]
TEXTS = ["a very good film with a strange end", "the worst film in many years", "good film", "nothing to see"]
BY_METHOD = {name: explain(tangled(), TEXTS, name) for name in ("lime", "shap", "occlusion")}
CURVES = {name: explaining.curves(tangled(), found) for name, found in BY_METHOD.items()}
TEN = ["lime", "shap", "permutation", "occlusion", "ig", "gradient", "smoothgrad", "attention", "rollout", "package"]
ALIKE = pd.DataFrame(
    np.fromfunction(lambda a, b: np.where(a == b, 1.0, ((a * b + a + b) % 19) / 20 - 0.15), (10, 10)), TEN, TEN
)
TIMES = pd.DataFrame(
    {
        "method": [*TEN, "random"],
        "seconds": [0.21, 0.09, 0.3, 0.011, 0.04, 0.004, 0.05, 0.0035, 0.0036, 1.9, 0.0001],
        "comprehensiveness": [0.36, 0.39, 0.385, 0.31, 0.28, 0.15, 0.16, 0.08, 0.09, 0.37, 0.05],
    }
)
TIMES = TIMES.assign(low=TIMES["comprehensiveness"] - 0.03, high=TIMES["comprehensiveness"] + 0.02)
STAGES = ["classifier", "bert.pooler", *(f"bert.encoder.layer.{i}" for i in (5, 4, 3, 2, 1, 0)), "bert.embeddings"]
SANE = pd.DataFrame({"stage": STAGES, "signed": np.linspace(0.4, -0.05, 9), "absolute": np.linspace(0.7, 0.08, 9)})
SANE_METHODS = pd.concat(
    [SANE.assign(method=name, absolute=SANE["absolute"] * k) for k, name in ((1, "attention"), (0.5, "ig"))]
)

PAIRED = pd.DataFrame(
    {"name": ["lime", "shap"], "estimate": [0.03, -0.01], "low": [0.015, -0.03], "high": [0.045, 0.01]}
)

FIGURES = {  # name -> (function, its arguments, what the title of the first axes must say)
    "seed_spread": (plots.seed_spread, (RUNS, (-1, 1), [0, 1, 2], {}), "Over 4 seeds “"),
    "agreement_map": (plots.agreement_map, (ALIKE, "scores", "LIME and SHAP agree"), "LIME and SHAP agree"),
    "time": (plots.faithfulness_against_time, (TIMES, "More time buys little"), "More time buys little"),
    "sanity": (plots.sanity, (SANE, "It notices"), "It notices"),
    "sanity_of_methods": (plots.sanity, (SANE_METHODS, "Attention notices nothing"), "Attention notices nothing"),
    "deletion_curves": (plots.deletion_curves, (CURVES, "SHAP falls fastest"), "deletion: lower is better"),
    "deletion_curves_of_ten": (
        plots.deletion_curves, (dict.fromkeys([*TEN, "random"], CURVES["shap"]),), "deletion: lower is better"
    ),
    "forest": (plots.forest, (PAIRED, "difference of means", "Only LIME differs"), "Only LIME differs"),
}  # fmt: skip


def lines_of(ax) -> dict[str, np.ndarray]:
    return {str(line.get_label()): line.get_xydata() for line in ax.lines}


# ---------------------------------------------------------------- heat maps


class Page(HTMLParser):
    """Open and closed elements, and what each word's element says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        if tag != "br":
            self.open.append(tag)
        self.titles += [value for name, value in attributes if name == "title"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def words_of(html: str) -> list[tuple[str, str, str]]:
    """Class, word and number of each word of a heat map."""
    found = re.findall(r'<b class="(\w+)">([^<]*)</b><small>([^<]*)</small>', html)
    return [(kind, unescape(word), number) for kind, word, number in found]


def test_a_word_has_its_number_its_line_and_its_title():
    html = plots.heat_map(ONE, {"yes": "<positive>"}).html
    assert words_of(html) == [("p5", "good", "+0.30"), ("n3", "bad", "−0.20"), ("p1", "film", "+0.05")]
    assert Page(html).titles == [
        "“good” +0.300: for <positive>", "“bad” −0.200: against <positive>", "“film” +0.050: for <positive>"
    ]  # fmt: skip
    assert "<positive>" not in html and "probability of &lt;positive&gt;: 0.700" in html


def test_lines_grow_and_differ_in_kind_so_that_no_colour_is_needed():
    style = plots.heat_map(ONE).html
    rules = dict(re.findall(r"\.heat-map b\.(\w+)\{background:#\w+;border-bottom:(\w+ \w+)", style))
    assert [rules[f"p{level}"] for level in range(1, 6)] == [f"{level}px solid" for level in range(1, 6)]
    assert [rules[f"n{level}"] for level in range(1, 6)] == [f"{level}px dashed" for level in range(1, 6)]


def test_attention_speaks_for_no_class():
    look = made([0.3, 0.2, 0.0], method="attention")
    html = plots.heat_map(look).html
    assert words_of(html) == [("a5", "good", "0.30"), ("a3", "bad", "0.20"), ("z", "film", "0.00")]
    assert Page(html).titles[0] == "“good” 0.300" and "for no class" in html and "b.a1{" in html
    assert "border-bottom:5px dotted" in html and "[0.30]" in plots.heat_map(look).plain


@pytest.mark.parametrize("side", "pna")
def test_black_letters_can_be_read_on_every_tint(side):
    def light(colour):  # WCAG 2.2, relative luminance
        parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    tints = re.findall(rf"b\.{side}\d\{{background:#(\w+)", plots.heat_map(ONE).html)
    contrasts = [(light(tint) + 0.05) / (light("222222") + 0.05) for tint in tints]
    assert len(tints) == 5 and contrasts == sorted(contrasts, reverse=True) and min(contrasts) > 7


def test_the_text_stands_there_whole_and_escaped():
    html = plots.heat_map(MANY).html
    assert not Page(html).open
    cell = re.search(r"<td>(.*?)</td>", html)[1]
    plain = re.sub(r"<[^>]*>", "", re.sub(r"<small>[^<]*</small>", "", cell.replace("<br>", "\n")))
    assert unescape(plain) == TEXT and "<good>" not in cell and len(words_of(html)) == len(MANY.words)


@given(st.text(st.sampled_from("ab <>&\"'\n\t.,👍🏽\u200dé$"), max_size=25))
@settings(max_examples=60, deadline=None)
def test_any_text_gives_a_page_that_holds_it(text):
    found = explain(additive({"a": 0.1, "b": -0.2}), ["a" + text], "occlusion", target="yes")[0]
    html = plots.heat_map(found).html
    assert not Page(html).open and len(words_of(html)) == len(found.tokens)
    cell = re.sub(r"<[^>]*>", "", re.sub(r"<small>[^<]*</small>", "", re.search(r"<td>(.*?)</td>", html)[1]))
    assert re.sub(r"\s", "", unescape(cell)) == re.sub(r"\s", "", found.text)


def test_half_a_character_does_not_break_the_page():
    assert "good?" in plots.heat_map(made([0.3], "good\ud800")).html.encode().decode().replace("</b>", "").replace(
        "<small>+0.30</small></span>", ""
    )


def test_signs_stay_with_their_word_on_one_line():
    cell = plots.heat_map(made([0.1, 0.2, 0.3], "(so well-done!) ".strip())).html
    parts = [
        re.sub(r"<small>[^<]*</small>|<[^>]*>", "", part)
        for part in re.findall(r'<span class="k">(.*?</span>\W*)</span>(?= |</td>)', cell)
    ]
    assert parts == ["(so", "well-done!)"]


def test_several_methods_have_a_row_each_with_error_and_queries():
    rows = [ONE, replace(ONE, method="lime", error=0.126, error_kind="1 - R2", queries=1), replace(ONE, method="ig")]
    html = plots.heat_map(rows).html
    assert re.findall(r'<th scope="row">(\w+)</th>', html) == ["shap", "lime", "ig"]
    assert html.count("<tr>") == 4 and len(words_of(html)) == 9 and 'aria-label="Scores of the words' in html
    assert "1 − R² = 0.13<br>1 query<" in html and "no error stated<br>8 queries<" in html
    assert html.count('scope="col"') == 3 and html.count("probability of yes") == 1


def test_rows_for_different_classes_say_which():
    found = [explain(Three(), ["apt bee cat cow"], "shap", target=name)[0] for name in "ac"]
    map_ = plots.heat_map(found, {"a": "first"})
    assert re.findall(r"<small>(probability of \w+): [\d.]+</small>", map_.html) == [
        "probability of first",
        "probability of c",
    ]
    assert "Explained:" not in map_.html
    assert repr(map_).count("probability of") == 2


def test_the_full_tint_is_the_largest():
    weak = made([0.003, -0.0015, 0.0])
    assert [kind for kind, *_ in words_of(plots.heat_map(weak).html)] == ["p5", "n2", "z"]
    assert [number for *_, number in words_of(plots.heat_map(weak).html)] == ["+0.0030", "−0.0015", "0.0000"]


def test_words_that_go_together_are_marked_wherever_they_stand():
    found = explain(additive(), ["good film, good end"], "occlusion", bow=True, target="yes")[0]
    assert [word for _, word, _ in words_of(plots.heat_map(found).html)] == ["good", "film", "good", "end"]


def test_spread_over_seeds_is_told():
    html = plots.heat_map(replace(ONE, spread=np.array([0.01, 0.02, 0.003]))).html
    assert "spread over seeds at most 0.02" in html and "“bad” −0.200: against yes, ± 0.02 over seeds" in html


def test_a_text_without_words_says_so():
    html = plots.heat_map(explain(additive(), ["..."], "shap", target="yes")).html
    assert "there is no word to explain" in html and not words_of(html)


def test_a_notebook_shows_the_page_and_a_terminal_the_words():
    shown = plots.heat_map([ONE, replace(ONE, method="lime")])
    assert shown._repr_html_() == shown.html
    line = "good[+0.30] bad[−0.20] film[+0.05] (no error stated, 8 queries)"
    assert repr(shown) == f"probability of yes: 0.700\nshap: {line}\nlime: {line}"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (float("nan"), "none", "no error stated"),
        (float("nan"), "standard error", "standard error not known"),
        (0.0123, "standard error", "standard error at most 0.012"),
        (0.0, "standard error", "no sampling error"),
        (0.05, "1 - R2", "1 − R² = 0.05"),
        (0.004, "completeness gap", "completeness gap 0.4%"),
        (34.2, "efficiency gap", "efficiency gap 34.20 times the change"),
        (float("inf"), "efficiency gap", "efficiency gap undefined: the output does not change"),
    ],
)
def test_errors_are_told_with_their_unit(error, kind, said):
    assert scored_text.describe_error(made([0, 0, 0], error=error, error_kind=kind)) == said


@pytest.mark.parametrize(
    ("score", "digits", "said"), [(0.126, 2, "+0.13"), (-0.0004, 3, "0.000"), (0, 2, "0.00"), (-2e-7, 8, "−2.0e−07")]
)
def test_numbers_have_a_sign_where_they_are_something(score, digits, said):
    assert scored_text.format_signed(score, digits) == said


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize("name", FIGURES)
def test_the_title_states_the_finding_and_the_figure_can_be_read(name):
    check_figure(*FIGURES[name])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("film", "film"),
        ("👍🏽", "[thumbs up sign]"),
        ("好", "[U+597D]"),
        ("x" * 23, "x" * 21 + "…"),
        ("x" * 22, "x" * 22),
    ],
)
def test_words_are_told_with_the_fonts_own_letters(word, said, recwarn):
    assert explanations.drawable(word) == said
    one = Attribution(word, (Word(word, ((0, len(word)),)),), np.ones(1), 0, 1, "yes", "shap")
    plots.to_png(plots.seed_spread([one, one], (-1, 1), [0], {}))
    assert not [one for one in recwarn if "Glyph" in str(one.message)]


def test_seeds_are_dots_and_the_bar_is_mean_and_deviation():
    runs = [made([0.1, 0, 0.2]), made([0.3, 0, 0.2]), made([0.2, 0, 0.2])]
    ax = plots.seed_spread(runs, (-1, 1), [2, 1, 0], {})
    bar = ax.patches[0]
    assert (bar.get_x(), bar.get_width()) == pytest.approx((0.1, 0.2)) and ax.get_xlim() == (-1, 1)
    dots = next(one for one in ax.collections if one.get_label() == "one seed").get_offsets()
    assert dots[::3, 0].tolist() == [0.1, 0.3, 0.2] and len(dots) == 9
    assert title(ax) == "Over 3 seeds “good” varies most: ±\u00a00.1 (shap)"
    assert ticks(ax.yaxis) == ["good", "bad", "film"]
    few = plots.seed_spread([made([0.1, 0, 0.2]), made([0.3, 0.9, 0.2])], (-1, 1), [2, 0], {"yes": "positive"})
    assert ticks(few.yaxis) == ["good", "film"]
    assert "“good” varies most" in title(few)  # bad moves more, but is not drawn
    assert few.get_xlabel() == "score (probability of positive)"
    twice = plots.seed_spread([made([0.1, 0.2, 0.3], "so so good")] * 2, (-1, 1), [0, 1, 2], {})
    assert "All 2 seeds give the same scores" in title(twice)
    assert ticks(twice.yaxis) == ["so (1)", "so (2)", "good"]


def test_the_strongest_words_are_in_the_texts_order():
    runs = [made([0.1, -0.5, 0.2]), made([0.1, -0.3, -0.2])]
    assert explanations.strongest_words(runs, 2) == [1, 2]


def test_curves_of_one_text_are_its_own_points():
    curve = Curve(np.array([0.9, 0.3, 0.2]), np.array([0.2, 0.6, 0.9]))
    left, right = plots.deletion_curves({"shap": curve})
    assert lines_of(left)["shap"].tolist() == [[0, 0.9], [0.5, 0.3], [1, 0.2]]
    assert lines_of(right)["shap"].tolist() == [[0, 0.2], [0.5, 0.6], [1, 0.9]]
    assert title(right) == "insertion: higher is better" and left.get_ylabel() == "probability of the target"
    headed = plots.deletion_curves({"shap": curve}, "SHAP falls fast")[0]
    assert headed.figure.get_suptitle() == "SHAP falls fast"


def test_curves_of_several_texts_are_averaged_at_equal_shares():
    curves = [Curve(np.array([1, 0.5, 0.0]), np.array([0, 1.0, 1])), Curve(np.array([1, 0.0]), np.array([0, 1.0]))]
    flat = [Curve(np.array([1.0]), np.array([1.0])), Curve(np.ones(5), np.ones(5))]
    left, _ = plots.deletion_curves({"ig": curves, "random": flat})
    found = lines_of(left)
    assert found["ig"][:, 1] == pytest.approx(1 - found["ig"][:, 0]) and len(found["ig"]) == 41
    assert (found["random"][:, 1] == 1).all() and left.get_ylabel() == "probability of the target, mean over texts"


def test_ten_methods_can_be_told_apart_without_colour():
    ax = plots.deletion_curves(dict.fromkeys(TEN, CURVES["shap"]))[0]
    looks = {(line.get_marker(), line.get_markerfacecolor() == "white") for line in ax.lines}
    assert len(looks) == 10


def test_agreement_shows_every_pair():
    frame = pd.DataFrame([[1, 0.9, np.nan], [0.9, 1, -0.25], [np.nan, -0.25, 1]], list("abc"), list("abc"))
    ax = plots.agreement_map(frame)
    assert texts(ax) == ["", "0.90", "–", "0.90", "", "−0.25", "–", "−0.25", ""]
    assert ax.images[0].get_clim() == (-0.25, 1)
    assert texts(plots.agreement_map(frame.where(np.eye(3, dtype=bool)))).count("–") == 6
    plots.agreement_map(explaining.agreement(BY_METHOD))


def test_the_front_in_time_is_what_no_other_method_beats():
    ax = plots.faithfulness_against_time(TIMES)
    on_front = TIMES[TIMES["method"].isin(["attention", "rollout", "gradient", "occlusion", "shap"])]
    assert points(ax)["on the front"] == on_front[["seconds", "comprehensiveness"]].to_numpy().tolist()
    assert len(points(ax)["another method is as fast and more faithful"]) == 5
    assert sorted(filter(None, texts(ax))) == sorted(TEN) and names_are_apart(ax)  # random is a line
    assert [line.get_ydata()[0] for line in ax.lines if line.get_label() == "random order"] == [0.05]
    assert pytest.approx([0.36, 0.41]) in whisker_ends(ax)


def test_sanity_begins_at_the_whole_model_and_goes_down_the_stages():
    ax = plots.sanity(SANE)
    found = lines_of(ax)
    assert found["scores"][:, 1].tolist() == [1.0, *SANE["absolute"]]
    assert ticks(ax.xaxis)[:4] == ["nothing", "head", "pooler", "layer\n5"]
    assert set(lines_of(plots.sanity(SANE_METHODS))) >= {"attention", "ig"}
    plots.sanity(SANE.assign(absolute=np.nan))  # nothing can be ranked


def test_a_forest_is_hollow_where_the_interval_contains_no_difference():
    ax = plots.forest(PAIRED, "difference")
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in dots] == [[0.03], [-0.01]]
    assert [line.get_markerfacecolor() == "white" for line in dots] == [False, True]
    assert texts(ax) == ["+0.03", "−0.01"] and ticks(ax.yaxis) == ["lime", "shap"]
    assert ax.get_xlabel() == "difference, with 95 % intervals"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plots.heat_map([]), "no attribution"),
        (lambda: plots.heat_map([ONE, MANY]), "the texts differ"),
        (lambda: plots.heat_map(made([1, 2])), "2 scores for 3 words"),
        (lambda: plots.heat_map(made([1, 2, np.nan])), "not finite"),
        (lambda: plots.seed_spread([ONE], (-1, 1), [0], {}), "1 runs"),
        (lambda: plots.seed_spread([ONE, replace(ONE, method="lime")], (-1, 1), [0], {}), "2 runs"),
        (lambda: plots.seed_spread([made([], "")] * 2, (-1, 1), [], {}), "no words"),
        (lambda: plots.deletion_curves({}), "curves of each method"),
        (lambda: plots.deletion_curves({"a": []}), "curves of each method"),
        (lambda: plots.deletion_curves({"a": CURVES["shap"], "b": CURVES["shap"][:1]}), "'a': 4, 'b': 1"),
        (lambda: plots.deletion_curves({"a": Curve(np.array([np.nan, 1]), np.ones(2))}), "curve of a is not finite"),
        (lambda: plots.agreement_map(ALIKE.iloc[:1, :1]), "rows"),
        (lambda: plots.agreement_map(ALIKE.iloc[:3]), "rows"),
        (lambda: plots.agreement_map(2 * ALIKE), "numbers up to 2"),
        (lambda: plots.faithfulness_against_time(TIMES.tail(1)), "no rows"),
        (lambda: plots.faithfulness_against_time(TIMES.drop(columns="low")), "no column 'low'"),
        (lambda: plots.faithfulness_against_time(TIMES.assign(seconds=0)), "seconds are"),
        (lambda: plots.faithfulness_against_time(TIMES.assign(low=1.0)), "does not hold"),
        (lambda: plots.forest(PAIRED.drop(columns="low"), "x"), "no column 'low'"),
        (lambda: plots.forest(PAIRED.assign(low=1.0), "x"), "does not hold its estimate"),
        (lambda: plots.sanity(SANE.head(0)), "no rows"),
        (lambda: plots.sanity(SANE.drop(columns="absolute")), "no column 'absolute'"),
        (lambda: plots.sanity(SANE.assign(absolute=3.0)), "numbers up to 3"),
        (lambda: plots.sanity(pd.concat([SANE, SANE])), "stage classifier occurs twice"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(BadInput, match=said) as caught:
        call()
    assert caught.value.fix
