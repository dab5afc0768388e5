"""Runs an attack on many texts at once.

All texts advance together: in each round the search of every text that is still under attack makes one query, and the
model predicts the documents of all these queries in one call (equal texts once, sorted by length). What is found for a
text does not depend on the texts beside it, apart from rounding in batches of other sizes.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.attacks.constraints import Constraint, SentenceSimilarity
from course_lib.attacks.goals import Goal
from course_lib.attacks.problem import Queries, Query, QueryResult, Search, SearchProblem
from course_lib.attacks.report import AttackReport, AttackResult, Step
from course_lib.attacks.transformations import Transformation
from course_lib.attacks.victim import VictimModel
from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.text.document import Document

Row = NDArray[np.float32]
Place = tuple[int, int]  # number of a state, number of a document in its query

MOST_CONTINUATIONS = 2  # of a search with a surrogate, before it begins again without it


@dataclass
class AttackState:
    """One text under attack: the only place where its queries and its best text are kept.

    Args:
        original: the text.
        column: of its true class.
        before: the model's prediction for it.
        score: of that prediction.
        skipped: whether there is nothing to attack.

    Attributes:
        queries: of the model so far.
        surrogate_queries: of the surrogate so far.
        offset: what is added to the surrogate's scores: the model's score of where the search started less
            the surrogate's.
        query: what its search needs next; None at the end.
        problem: what its search works on; a text that is skipped has none.
        best: the candidate that came nearest to the goal, or the latest that reached it.
        best_score: of `best`.
        found: whether `best` reaches the goal.
        after: the prediction for `best`, once it is confirmed.
        succeeded: whether the confirmed prediction reaches the goal.
    """

    original: Document
    column: int
    before: Row
    score: float
    skipped: bool
    queries: int = 1
    surrogate_queries: int = 0
    offset: float = 0.0
    query: Query | None = None
    problem: SearchProblem = field(init=False)
    best: Document = field(init=False)
    best_score: float = field(init=False)
    found: bool = field(init=False)
    after: Row = field(init=False)
    succeeded: bool = False
    _search: Queries | None = None

    def __post_init__(self) -> None:
        self.best, self.best_score, self.found, self.after = self.original, self.score, self.skipped, self.before

    def start(self, search: Queries) -> None:
        """Takes the first query of a search."""
        self._search = search
        self._advance(None)

    def receive(self, result: QueryResult, cost: int, budget: int | None) -> None:
        """Keeps the best candidate that the model predicted; then takes the next query, or ends if the goal is reached.

        It ends, too, when the budget is spent.
        """
        query = self.query
        assert query is not None and self._search is not None
        self.queries += cost
        predicted = query.kind == "candidates" and cost > 0  # a surrogate's scores are no result
        reached = predicted and bool(result.reached.any())
        if predicted:
            i = int(np.where(result.reached | (not reached), result.scores, -np.inf).argmax())
            if reached or (not self.found and result.scores[i] > self.best_score):
                self.best, self.best_score, self.found = query.documents[i], float(result.scores[i]), reached
        if (reached and query.stops) or (budget is not None and self.queries >= budget):
            self._search.close()
            self.query = None
        else:
            self._advance(result)

    def _advance(self, result: QueryResult | None) -> None:
        assert self._search is not None
        try:
            self.query = next(self._search) if result is None else self._search.send(result)
        except StopIteration:
            self.query = None

    def result(self, victim: VictimModel) -> AttackResult:
        """What became of the text; the original where the goal was not reached."""
        kept, after = (self.best, self.after) if self.succeeded else (self.original, self.before)
        return AttackResult(
            text=self.original.text, adversarial=kept.text,
            status="skipped" if self.skipped else "succeeded" if self.succeeded else "failed",
            label=victim.label(self.column), before=victim.label(int(self.before.argmax())),
            after=victim.label(int(after.argmax())), words=len(self.original.words), queries=self.queries,
            changed=tuple(sorted(kept.changed)), surrogate_queries=self.surrogate_queries,
        )  # fmt: skip


@dataclass(frozen=True)
class Attack:
    """Goal, transformation, constraints and search.

    Args:
        name: of the recipe.
        goal: what the model is to predict.
        transformation: what may replace a word.
        search: the order in which words are tried.
        constraints: what every returned text keeps.
        query_budget: queries a text may cost at most; none when left out.
        precision: of the search's queries; `auto` takes what the hardware multiplies fastest and confirms in the
            classifier's own precision wherever the goal seems reached.
    """

    name: str
    goal: Goal
    transformation: Transformation
    search: Search
    constraints: tuple[Constraint, ...] = ()
    query_budget: int | None = None
    precision: str = "auto"

    def __str__(self) -> str:
        rules = "\n                  ".join(str(rule) for rule in self.constraints) or "none"
        budget = f"\n  query budget    {self.query_budget}" if self.query_budget else ""
        return (
            f"{self.name}\n  goal            {self.goal}\n  transformation  {self.transformation}\n"
            f"  search          {self.search}\n  constraints     {rules}{budget}"
        )

    def run(
        self, classifier: Any, texts: Sequence[str], labels: ArrayLike, seed: int = 0, surrogate: Any = None
    ) -> AttackReport:
        """Attacks every text that the model has right and whose goal is not reached already.

        At the end the model predicts every changed text once more: that prediction decides what is a success.

        Args:
            classifier: a fitted `TextClassifier`; for attacks without gradients anything with `classes_` and
                `predict_proba`.
            texts: n strings.
            labels: their n true labels, of the classifier's classes.
            seed: of all draws; the same seed gives the same texts.
            surrogate: a much cheaper model with similar predictions, such as `baselines.tfidf_logistic()` fitted to
                the same data, or a small student of the classifier. It ranks the words, and of the candidates for a
                word it chooses the one that the classifier is queried for. Whether a change is kept and whether the
                goal is reached is decided by the classifier. Where this fails, the search goes on from the best text,
                at most twice, and at last it begins again without the surrogate. Greedy searches and PWWS took about
                half the queries of the classifier with TF-IDF, and changed more words; a beam need not take fewer.

        Raises:
            BadInput: an item that is not a string, lengths that differ, a surrogate of other classes, a label or a
                target that is not a class of the model, a model that is not fitted or predicts numbers, a budget
                under 1, a part that needs gradients of a model without them.
        """
        started = time.perf_counter()
        victim = self._victim(classifier, surrogate)
        texts = check_texts(texts)
        states = self._begin(victim, texts, victim.columns(labels, len(texts)), seed)
        self._search(victim, states)
        if surrogate is not None:
            self._search_again(victim, states)
        changed = [state for state in states if state.best.changed]
        for state, row in zip(changed, victim.confirm([state.best.text for state in changed]), strict=True):
            state.after, state.succeeded = row, bool(self.goal.reached(row[None], state.column)[0])
        results = tuple(state.result(victim) for state in states)
        seconds = time.perf_counter() - started
        return AttackReport(self.name, results, seconds, victim.seconds, seed, victim.surrogate_seconds)

    def steps(self, classifier: Any, text: str, label: Any, seed: int = 0) -> list[Step]:
        """The path to one adversarial text, query by query; the arguments are those of `run`.

        Begins with the original text. A text that `run` would skip has that one step.
        """
        victim = self._victim(classifier)
        (state,) = self._begin(victim, check_texts([text]), victim.columns([label], 1), seed)
        steps = [Step("the original text", 1, text, state.score, state.skipped)]
        while query := state.query:
            queries = state.queries
            (result,) = self._round(victim, [state])
            weights: tuple[tuple[int, float], ...] = ()
            if query.kind == "probes":
                weights = tuple(zip(query.positions, (result.scores - state.score).tolist(), strict=True))
            elif query.kind == "gradients":
                weights = tuple(enumerate(result.gradients[0].lengths.tolist()))
            note, cost = _note(state.original, query), state.queries - queries
            steps.append(Step(note, cost, state.best.text, state.best_score, state.found, weights))
        return steps

    def _victim(self, classifier: Any, surrogate: Any = None) -> VictimModel:
        """The model, after all parts of the attack have checked that they can work with it."""
        if self.query_budget is not None and self.query_budget < 1:
            raise BadInput(f"query_budget is {self.query_budget}", "use 1 or more, or None")
        victim = VictimModel(classifier, self.goal, self.precision, surrogate)
        self.goal.check(len(classifier.classes_))
        self.search.check(victim)
        self.transformation.check(victim)
        return victim

    def _begin(self, victim: VictimModel, texts: list[str], columns: NDArray[np.int64], seed: int) -> list[AttackState]:
        """Each text's state with its first query; none for a text that is skipped."""
        before = victim.confirm(texts)
        skipped = (before.argmax(1) != columns) | self.goal.reached(before, columns)
        scores = self.goal.scores(before, columns)
        states = [
            AttackState(Document.of(text), int(columns[i]), before[i], float(scores[i]), bool(skipped[i]))
            for i, text in enumerate(texts)
        ]
        attacked = [state for state in states if not state.skipped]
        prepared = self.transformation.prepare(victim, [state.original for state in attacked])
        # Similarity is left to `_similar`, which checks it for all texts at once.
        rules = tuple(rule for rule in self.constraints if not isinstance(rule, SentenceSimilarity))
        for state, substitutes in zip(attacked, prepared, strict=True):
            rng = random.Random(hashlib.sha256(f"{seed}\0{state.original.text}".encode()).digest())
            state.problem = SearchProblem(state.original, state.original, state.score, substitutes, rules, rng)
        self._start(victim, attacked)
        return states

    def _start(self, victim: VictimModel, states: Sequence[AttackState]) -> None:
        """Starts the search of each state; a surrogate's scores are measured from there."""
        if victim.surrogate is not None:
            rows = victim.estimate([state.problem.start.text for state in states])
            estimates = self.goal.scores(rows, np.array([state.column for state in states], np.int64))
            for state, estimate in zip(states, estimates.tolist(), strict=True):
                state.offset = state.problem.score - estimate
                state.surrogate_queries += 1
        for state in states:
            state.start(self.search.queries(state.problem))

    def _search_again(self, victim: VictimModel, states: Sequence[AttackState]) -> None:
        """What a surrogate did not find: from the best text as long as that gets nearer, then without it."""

        def failed() -> list[AttackState]:
            budget = np.inf if self.query_budget is None else self.query_budget
            return [state for state in states if not state.found and state.queries < budget]

        for _ in range(MOST_CONTINUATIONS):
            nearer = [state for state in failed() if state.best_score > state.problem.score]
            for state in nearer:
                state.problem = replace(state.problem, start=state.best, score=state.best_score)
            self._start(victim, nearer)
            self._search(victim, nearer)
        victim.surrogate = None
        for state in failed():
            state.problem = replace(state.problem, start=state.original, score=state.score)
        self._start(victim, failed())
        self._search(victim, states)

    def _search(self, victim: VictimModel, states: Sequence[AttackState]) -> None:
        """Rounds until no search needs a query."""
        while active := [state for state in states if state.query]:
            self._round(victim, active)

    def _round(self, victim: VictimModel, states: Sequence[AttackState]) -> list[QueryResult]:
        """Sends every state the result of its query."""
        queries = [state.query for state in states if state.query]
        results = [
            QueryResult(np.full(len(one.documents), -np.inf, np.float32), np.zeros(len(one.documents), bool), [])
            for one in queries
        ]
        places = self._similar(states, queries)
        if victim.surrogate is not None:
            places = self._shortlist(victim, states, queries, results, places)
        places = self._affordable(states, places)
        self._predict(victim, states, queries, results, [at for at in places if queries[at[0]].kind != "gradients"])
        wanted = [(number, i) for number, i in places if queries[number].kind == "gradients"]
        columns = [states[number].column for number, _ in wanted]
        gradients = victim.gradients([queries[number].documents[i] for number, i in wanted], columns) if wanted else []
        for (number, _), gradient in zip(wanted, gradients, strict=True):
            results[number].gradients.append(gradient)
        costs = np.bincount([number for number, _ in places], minlength=len(states)).tolist()
        for state, result, cost in zip(states, results, costs, strict=True):
            state.receive(result, cost, self.query_budget)
        return results

    def _similar(self, states: Sequence[AttackState], queries: Sequence[Query]) -> list[Place]:
        """All documents but the candidates that are not similar enough."""
        places = [(number, i) for number, query in enumerate(queries) for i in range(len(query.documents))]
        for rule in self.constraints:
            if isinstance(rule, SentenceSimilarity):
                candidates = [(number, i) for number, i in places if queries[number].kind == "candidates"]
                kept = rule.allows_all(
                    [states[number].original.text for number, _ in candidates],
                    [queries[number].documents[i].text for number, i in candidates],
                )
                dissimilar = {place for place, keep in zip(candidates, kept, strict=True) if not keep}
                places = [place for place in places if place not in dissimilar]
        return places

    def _shortlist(
        self, victim: VictimModel, states: Sequence[AttackState], queries: Sequence[Query],
        results: Sequence[QueryResult], places: list[Place],
    ) -> list[Place]:  # fmt: skip
        """Documents that the model must predict; where the surrogate's scores are enough, they are filled in."""
        members: dict[int, list[int]] = {}
        for number, i in places:
            members.setdefault(number, []).append(i)
        left = {number: some for number, some in members.items() if len(some) > queries[number].most_predicted}
        estimated = [(number, i) for number, some in left.items() for i in some]
        rows = victim.estimate([queries[number].documents[i].text for number, i in estimated])
        columns = np.array([states[number].column for number, _ in estimated], np.int64)
        estimates = dict(zip(estimated, self.goal.scores(rows, columns).tolist(), strict=True))
        for number, some in left.items():
            states[number].surrogate_queries += len(some)
            if most := queries[number].most_predicted:
                members[number] = sorted(some, key=lambda i: -estimates[number, i])[:most]
            else:
                results[number].scores[some] = [estimates[number, i] + states[number].offset for i in some]
                members[number] = []
        return [(number, i) for number, some in members.items() for i in some]

    def _affordable(self, states: Sequence[AttackState], places: list[Place]) -> list[Place]:
        """Documents that the budget pays for."""
        if self.query_budget is None:
            return places
        left = [self.query_budget - state.queries for state in states]
        paid = []
        for number, i in places:
            if left[number] > 0:
                left[number] -= 1
                paid.append((number, i))
        return paid

    def _predict(
        self, victim: VictimModel, states: Sequence[AttackState], queries: Sequence[Query],
        results: Sequence[QueryResult], places: list[Place],
    ) -> None:  # fmt: skip
        """Fills in scores and goals; a goal that another precision sees reached is confirmed in the model's own."""
        texts = [queries[number].documents[i].text for number, i in places]
        columns = np.array([states[number].column for number, _ in places], np.int64)
        rows = victim.query(texts)
        if not victim.exact:
            candidates = np.array([queries[number].kind == "candidates" for number, _ in places], bool)
            close = np.flatnonzero(candidates & self.goal.reached(rows, columns))
            rows[close] = victim.confirm([texts[at] for at in close])
        scores, reached = self.goal.scores(rows, columns), self.goal.reached(rows, columns)
        for (number, i), score, won in zip(places, scores, reached, strict=True):
            results[number].scores[i], results[number].reached[i] = score, won


def _note(original: Document, query: Query) -> str:
    """What a query is about, in words."""
    if query.kind == "probes":
        return "importance of the words"
    if query.kind == "gradients":
        return "gradient"
    if len(query.positions) == 1:
        return f"candidates for “{original.words[query.positions[0]]}”"
    return f"{len(query.documents)} texts"
