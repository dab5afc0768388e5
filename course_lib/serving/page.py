"""The page at `/`: a form to try the service, and its routes and limits."""

from __future__ import annotations

from course_lib.serving.limits import Limits

_ROUTES = {
    "POST /predict": '{"text": "..."} or {"texts": ["...", ...]}: label and probabilities of each text',
    "POST /explain": '{"text": "...", "budget": 100}: the Shapley value of each word, with its standard error',
    "GET /health": "200 while the worker answers",
    "GET /ready": "200 if a text gets through the model now",
    "GET /version": "which versions of the model are served",
    "GET /metrics": "figures of all workers in Prometheus' format",
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>course_lib serve</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
textarea {{ width: 100%; box-sizing: border-box; font: inherit; padding: .5rem }}
button {{ font: inherit; padding: .3rem 1rem; margin: .5rem .5rem .5rem 0 }}
table {{ border-collapse: collapse; width: 100% }}
td {{ border-top: 1px solid #ddd; padding: .3rem .6rem .3rem 0; vertical-align: top }}
#result {{ min-height: 4rem }} #words span {{ padding: .1rem .15rem; border-radius: .2rem }}
code {{ white-space: nowrap }}
</style></head><body>
<h1>Classify a text</h1>
<form id="form">
<textarea id="text" rows="3" aria-label="Text">a slow film, but a lovely one</textarea>
{token}<button name="predict">Predict</button><button name="explain">Explain</button>
</form>
<div id="result" aria-live="polite"><p id="label"></p><p id="words"></p></div>
<h2>Routes</h2><table>{routes}</table>
<p>An error is JSON with the fields <code>error</code> and <code>fix</code>. It never repeats what you sent.</p>
<h2>Limits of a worker</h2><table>{limits}</table>
<script>
const show = (id, text) => {{ document.getElementById(id).textContent = text; }};
document.getElementById("form").addEventListener("submit", async (event) => {{
  event.preventDefault();
  const route = event.submitter.name, words = document.getElementById("words");
  const headers = {{"Content-Type": "application/json"}}, token = document.getElementById("token");
  if (token) headers["Authorization"] = "Bearer " + token.value;
  show("words", "");
  try {{
    const body = JSON.stringify({{text: document.getElementById("text").value}});
    const response = await fetch("/" + route, {{method: "POST", headers, body}}), found = await response.json();
    if (!response.ok) return show("label", found.error + ": " + found.fix);
    const sure = route === "predict" ? found.probabilities[found.label] : found.probability;
    show("label", found.label + " (" + (100 * sure).toFixed(1) + " %)");
    const strongest = Math.max(...(found.words || []).map((each) => Math.abs(each.value)), 1e-9);
    for (const each of found.words || []) {{
      const word = document.createElement("span"), part = Math.abs(each.value) / strongest;
      word.textContent = each.word;
      word.title = each.value.toFixed(3);
      word.style.background = (each.value > 0 ? "rgba(0,114,178," : "rgba(213,94,0,") + 0.5 * part + ")";
      words.append(word, " ");
    }}
  }} catch (error) {{ show("label", "The server does not answer."); }}
}});
</script></body></html>
"""


def page(limits: Limits, max_length: int, needs_token: bool) -> str:
    """The HTML of the page.

    Args:
        limits: that it lists.
        max_length: tokens of a text that the model reads.
        needs_token: whether the form asks for a token.
    """
    read = {
        "max_length": (f"{max_length:,}", "tokens of a text that the model reads; truncated says if there are more")
    }
    rows = {name: (f"{getattr(limits, name):,g}", what) for name, what in limits.described().items()} | read
    token = '<input id="token" type="password" placeholder="token" aria-label="Token"> ' if needs_token else ""
    return _PAGE.format(
        token=token,
        routes="".join(f"<tr><td><code>{route}</code></td><td>{what}</td></tr>" for route, what in _ROUTES.items()),
        limits="".join(f"<tr><td>{value}</td><td>{what}</td></tr>" for value, what in rows.values()),
    )
