"""Computes the vectors of the schemes that come with the library, from the scheme files and nothing else.

usage: vectors.py DIRECTORY PAGE [--check]

For each NAME.toml it writes the computed part of NAME.vectors.toml: all that stands under its marker. What stands above it, vectors
that somebody published, is left as it is; a file without the marker is left alone. Then it writes PAGE, the table of providers. With
--check nothing is written, and what would be is compared.
"""

import base64
import json
import pathlib
import re
import sys
import tomllib

import pairs
from cases import cases
from handshakes import handshakes
from language import NotRead
from providers import page

ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{64,}")

MARKER = "# Computed from the scheme file by xtask/vectors, an implementation of its own; `cargo xtask vectors` writes this part."
SOURCE = "computed with the Python standard library (hmac, hashlib, base64)"
SOURCE_OF_PAIRS = "computed with openssl and the Python standard library"


def text(value):
    """A TOML string. JSON's escapes are TOML's, but for the delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def listed(headers):
    return "[" + ", ".join(f"[{text(name)}, {text(value)}]" for name, value in headers) + "]"


def table(values):
    def one(value):
        if isinstance(value, list):
            return listed(value)
        return text(value) if isinstance(value, str) else str(value)

    return "{ " + ", ".join(f"{key} = {one(value)}" for key, value in values.items()) + " }"


def entry(kind, made):
    """One table of a vector file."""
    request = made["request"]
    source = SOURCE_OF_PAIRS if made.get("is_pair") else SOURCE
    lines = [f"[[{kind}]]", f"name = {text(made['name'])}", 'origin = "computed"', f"source = {text(source)}"]
    lines.append("secrets = [" + ", ".join(map(text, made["secrets"])) + "]")
    if made.get("parameters"):
        lines.append(f"parameters = {table(made['parameters'])}")
    if made.get("token"):
        lines.append(f"token = {text(made['token'])}")
    if request.method != "POST":
        lines.append(f"method = {text(request.method)}")
    if request.url != "https://example.com/hook":
        lines.append(f"url = {text(request.url)}")
    lines.append(f"headers = {listed(request.headers)}")
    try:
        lines.append(f"body = {text(request.body.decode())}")
    except UnicodeDecodeError:
        lines.append(f"body_base64 = {text(base64.b64encode(request.body).decode())}")
    now_ms = made["now_ms"]
    lines.append(f"now_ms = {now_ms}" if now_ms % 1000 else f"now_s = {now_ms // 1000}")
    for verdict in ("verified", "answer"):
        if made.get(verdict) is not None:
            lines.append(f"{verdict} = {table(made[verdict])}")
    for verdict in ("refused", "event"):
        if made.get(verdict) is not None:
            lines.append(f"{verdict} = {text(made[verdict])}")
    return "\n".join(lines) + "\n"


def computed(scheme):
    """The computed part of a scheme's vectors."""
    entries = [entry("vector", made) for made in cases(scheme)]
    entries += [entry("handshake", made) for made in handshakes(scheme)]
    return MARKER + "\n\n" + "\n".join(entries)


def signatures(text):
    """What could be a signature in a file, as bytes."""
    for found in dict.fromkeys(ENCODED.findall(text)):
        try:
            padded = found + "=" * (-len(found) % 4)
            data = base64.b64decode(padded, altchars=b"-_" if set("-_") & set(found) else None, validate=True)
            yield data
            # A header may be JSON in base64, in which a signature stands.
            if data.startswith(b"{"):
                yield from signatures(data.decode())
        except ValueError:
            pass


def work(directory, check):
    wrong = []
    for path in sorted(directory.glob("*.toml")):
        if path.name.endswith(".vectors.toml"):
            continue
        vectors = path.with_name(path.name.removesuffix(".toml") + ".vectors.toml")
        before = vectors.read_text() if vectors.exists() else ""
        if before and MARKER not in before:
            continue
        pairs.KEPT[:] = signatures(before)
        try:
            after = before.partition(MARKER)[0] + computed(tomllib.loads(path.read_text()))
        except (NotRead, KeyError, ValueError) as error:
            wrong.append(f"{path.name}: {type(error).__name__}: {error}")
            continue
        if check and before != after:
            wrong.append(f"{vectors.name} is not what is computed")
        elif before != after:
            vectors.write_text(after)
            print(f"wrote {vectors.name}")
    return wrong


def table_of_providers(directory, path, check):
    after = page(directory, pathlib.Path(__file__).with_name("providers.toml"))
    if path.exists() and path.read_text() == after:
        return []
    if check:
        return [f"{path} is not what is made of the schemes: run `cargo xtask vectors`"]
    path.write_text(after)
    return []


if __name__ == "__main__":
    is_check = "--check" in sys.argv[3:]
    found = work(pathlib.Path(sys.argv[1]), is_check)
    # A page of schemes that cannot be read would be wrong.
    found = found or table_of_providers(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), is_check)
    for line in found:
        print(line, file=sys.stderr)
    sys.exit(1 if found else 0)
