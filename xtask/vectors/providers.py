"""Makes docs/providers.md: every provider, what its scheme binds and where its vectors are from.

What a scheme binds is read from its file, in the way of `language`.
"""

import tomllib

from language import CREDENTIALS, names

HEAD = """\
# Providers

Made by `cargo xtask vectors` from the scheme files and their vectors; `hookward schemes show NAME` prints a file.

{counts}

**Binds** is what nobody can change without the secret. Where the time is not bound, an old request proves itself for ever, and
only remembering ids or bodies stops a replay; where the body is not bound, the verdict says who called and nothing about what was
sent. An **id** is bound if it is part of what is signed. **Vectors** are requests with a known verdict: *published* ones are from
the provider or another project's tests, *computed* ones from an implementation of its own.

| provider | class | scheme | binds | vectors |
| --- | --- | --- | --- | --- |
"""
REST = """
## What has no scheme yet

| provider | class | what it would take |
| --- | --- | --- |
"""
KEYS = """
## Keys that are fetched

For a source of one of these schemes that has no secret of its own the gateway fetches the provider's public keys: over TLS, from these
places alone, and within bounds. A certificate is held against its issuers, its time and the names that the scheme gives. A parameter in a
URL, such as `{const:domain}`, has to be said first; who sets a secret (a certificate, a key in PEM, a JSON Web Key) pins that one, and
nothing is fetched.

| scheme | what | where |
| --- | --- | --- |
"""
OTHERS = """
## Further schemes

| scheme | what it is | binds | vectors |
| --- | --- | --- | --- |
"""


HANDSHAKES = """
## Handshakes

How a provider makes sure of an endpoint before it sends there, and what it is answered, always with status 200.

| provider | asks | is answered |
| --- | --- | --- |
"""
UNANSWERED = """
Not answered:

| provider | why |
| --- | --- |
"""


def handshake(rule):
    """One question and its answer, as two cells."""
    method = rule["method"] + (", signed" if rule.get("signed") else "")
    places = [rule[name] for name in ("challenge", "token") if name in rule] + list(rule.get("when", {}))
    asks = f"{method}: {', '.join(f'`{place}`' for place in places)}" if places else method
    texts = str(rule.get("answer", ""))
    named = {"{hmac:": "a signature of the challenge", "{sha256:": "a digest of challenge, token and URL", "{challenge}": "the challenge"}
    answers = [words for part, words in named.items() if part in texts]
    if rule.get("adopt"):
        answers.append("nothing more: it is the secret from then on" if not answers else "and it is the secret from then on")
    return asks, ", ".join(answers) or ("the same always" if texts else "nothing more")


def handshakes(providers, schemes):
    """The section of handshakes."""
    rows = []
    for provider in providers:
        made = schemes.get(provider.get("scheme", provider["name"]), ({}, {}))[0]
        rows += [f"| {made['title']} | {' | '.join(handshake(rule))} |" for rule in made.get("handshake", [])]
    rest = [f"| {one['name']} | {one['unanswered']} |" for one in providers if "unanswered" in one]
    return HANDSHAKES + "\n".join(rows) + "\n" + UNANSWERED + "\n".join(rest) + "\n"


def covers_body(proof):
    if proof["algorithm"] == "jwt":
        parts = [name for template in proof.get("claims", {}).values() for name in names(template)]
    else:
        parts = names(proof.get("content", ""))
    return any(name.split(":")[-1] == "body" or name.startswith("form:sorted") for name in parts)


def binds(scheme):
    """What the strongest proof of a scheme binds, in words."""
    proof = next(proof for proof in scheme["proof"] if not proof.get("verify_only"))
    if proof["algorithm"] in CREDENTIALS:
        return "nothing"
    parts = names(proof.get("content", ""))
    body = covers_body(proof)
    found = ["body"] if body else []
    if "tolerance_s" in proof.get("timestamp", {}):
        found.append("time")
    if any(name.split(":")[-1] in ("url", "any-port", "path_and_query") for name in parts):
        found.append("url")
    place = proof.get("id", [""])[0]
    inside = place.startswith(("json:", "form:")) and (body or place in parts)
    if "id" in parts or inside or place.startswith("claim:") or place in parts:
        found.append("id")
    if not body and any(name.split(":")[0] in ("json", "json-raw", "form") for name in parts):
        found.insert(0, "some values of the body")
    return ", ".join(found) or "nothing"


def sources(vectors):
    """Where the vectors are from, with how many there are."""
    origins = {one["origin"] for one in vectors.get("vector", [])}
    kinds = [kind for kind in ("published", "computed") if kind in origins or (kind == "published" and "derived" in origins)]
    return f"{' and '.join(kinds)} ({len(vectors.get('vector', []))})"


def page(directory, register):
    """The whole page."""
    providers = tomllib.loads(register.read_text())["provider"]
    schemes = {}
    for path in sorted(directory.glob("*.toml")):
        if not path.name.endswith(".vectors.toml"):
            beside = path.with_name(path.name.removesuffix(".toml") + ".vectors.toml")
            schemes[path.stem] = (tomllib.loads(path.read_text()), tomllib.loads(beside.read_text()))
    rows, rest, used = [], [], set()
    have = {}
    for provider in sorted(providers, key=lambda one: one["name"]):
        name, kind = provider["name"], provider["class"]
        scheme = provider.get("scheme", name)
        known = have.setdefault(kind, [0, 0])
        known[1] += 1
        if scheme not in schemes:
            rest.append(f"| {name} | {kind} | {provider.get('takes', 'features that the scheme language has not')} |")
            continue
        known[0] += 1
        used.add(scheme)
        made, vectors = schemes[scheme]
        rows.append(f"| {made['title']} | {kind} | `{scheme}` | {binds(made)} | {sources(vectors)} |")
    keys = [
        f"| `{name}` | {'a certificate' if made['keys']['format'] == 'certificate' else 'a set of keys'} | "
        f"{'<br>'.join(f'`{url}`' for url in made['keys']['url'])} |"
        for name, (made, _) in schemes.items() if "keys" in made
    ]
    others = [
        f"| `{name}` | {made['title']} | {binds(made)} | {sources(vectors)} |"
        for name, (made, vectors) in schemes.items() if name not in used
    ]
    total = sum(one[0] for one in have.values())
    kinds = ", ".join(f"{have[kind][0]} of {have[kind][1]} of class {kind}" for kind in ("data", "builtin", "code") if kind in have)
    counts = (
        f"**{total} of {len(providers)} providers** have a scheme: {kinds}. With those of no one provider the catalog has "
        f"{len(schemes)} schemes.\n\nClass *data* is said by templates alone, *builtin* with a function that has a name, and *code* needs "
        "keys that are fetched, or a\ncontent that has to be made anew."
    )
    text = HEAD.format(counts=counts) + "\n".join(rows) + "\n" + KEYS + "\n".join(keys) + "\n" + OTHERS + "\n".join(others) + "\n"
    text += handshakes(sorted(providers, key=lambda one: one["name"]), schemes)
    return text + (REST + "\n".join(rest) + "\n" if rest else "")
