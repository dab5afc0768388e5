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
<html lang="en"><head><meta charset="utf-8"><title>Classify a text</title>
<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
textarea {{ width: 100%; box-sizing: border-box; font: inherit; padding: .5rem }}
button {{ font: inherit; padding: .3rem 1rem; margin: .5rem .5rem .5rem 0 }}
table {{ border-collapse: collapse; width: 100% }}
td {{ border-top: 1px solid #ddd; padding: .3rem .6rem .3rem 0; vertical-align: top }}
#result {{ min-height: 8rem }}
#label {{ font-size: 1.2rem; margin: .5rem 0 }}
#words {{ display: flex; flex-wrap: wrap; gap: .3rem; list-style: none; padding: 0; margin: .5rem 0 }}
#words li {{ padding: .1rem .3rem; border-radius: .2rem; text-align: center }}
small {{ display: block; color: #555 }}
pre {{ background: #f4f4f4; padding: .6rem; white-space: pre-wrap }}
td:first-child {{ white-space: nowrap }} .numbers td:first-child {{ text-align: right; width: 6rem }}
</style></head><body>
<h1>Classify a text</h1>
<form id="form">
<textarea id="text" rows="3" aria-label="Text">a slow film, but a lovely one</textarea>
{token}<button name="predict">Predict</button><button name="explain">Explain</button>
</form>
<div id="result" aria-live="polite"><p id="label"></p><ul id="words"></ul><small id="note"></small></div>
<h2>From a program</h2>
<pre>curl -H "Content-Type: application/json" {header}\\
  -d '{{"text": "a slow film"}}' <span id="origin"></span>/predict</pre>
<table>{routes}</table>
<p>An error is JSON with the fields <code>error</code> and <code>fix</code>. It never repeats what you sent.</p>
<h2>Limits</h2>
<p>The rate is that of the whole server. The other limits are those of a worker; this server has {workers}.</p>
<table class="numbers">{limits}</table>
<script>
const get = (id) => document.getElementById(id), show = (id, text) => {{ get(id).textContent = text; }};
const percent = (value) => (100 * value).toFixed(1) + " %";
show("origin", location.origin);

function showWord(each, strongest) {{
  const word = document.createElement("li"), value = document.createElement("small");
  const colour = each.value > 0 ? "rgba(0,114,178," : "rgba(213,94,0,";
  word.textContent = each.word;
  value.textContent = (each.value > 0 ? "+" : "") + each.value.toFixed(2);
  word.style.background = colour + 0.5 * Math.abs(each.value) / strongest + ")";
  word.append(value);
  get("words").append(word);
}}

function showResult(found, milliseconds) {{
  const sure = found.words ? found.probability : found.probabilities[found.label];
  show("label", found.label + " (" + percent(sure) + ")");
  const notes = [milliseconds.toFixed(0) + " ms, version " + found.version];
  if (found.truncated) notes.push("the end of the text was not read");
  if (found.words) {{
    const strongest = Math.max(...found.words.map((each) => Math.abs(each.value)), 1e-9);
    found.words.forEach((each) => showWord(each, strongest));
    notes.push("blue words raise the probability of " + found.label + ", orange words lower it; an empty text has " +
               percent(found.base) + ", and with the values of all words this is " + percent(sure));
  }}
  show("note", notes.join("; ") + ".");
}}

get("form").addEventListener("submit", async (event) => {{
  event.preventDefault();
  const headers = {{"Content-Type": "application/json"}}, body = JSON.stringify({{text: get("text").value}});
  if (get("token")) headers["Authorization"] = "Bearer " + get("token").value;
  ["label", "words", "note"].forEach((id) => show(id, ""));
  try {{
    const started = performance.now();
    const response = await fetch("/" + event.submitter.name, {{method: "POST", headers, body}});
    const found = await response.json();
    if (response.ok) showResult(found, performance.now() - started);
    else show("label", "Error " + response.status + ": " + found.error + ". To fix it: " + found.fix + ".");
  }} catch (error) {{ show("label", "The server cannot be reached."); }}
}});
</script></body></html>
"""


def render_page(limits: Limits, max_length: int, needs_token: bool, workers: int = 1) -> str:
    """The HTML of the page.

    Args:
        limits: that it lists.
        max_length: tokens of a text that the model reads.
        needs_token: whether the form asks for a token.
        workers: processes of this server.
    """
    read = {
        "max_length": (f"{max_length:,}", "tokens of a text that the model reads; truncated says if there are more")
    }
    rows = {name: (f"{getattr(limits, name):,g}", what) for name, what in limits.described().items()} | read
    token = '<input id="token" type="password" placeholder="token" aria-label="Token"> ' if needs_token else ""
    return _PAGE.format(
        token=token,
        header='-H "Authorization: Bearer TOKEN" ' if needs_token else "",
        workers=workers,
        routes="".join(f"<tr><td><code>{route}</code></td><td>{what}</td></tr>" for route, what in _ROUTES.items()),
        limits="".join(f"<tr><td>{value}</td><td>{what}</td></tr>" for value, what in rows.values()),
    )
