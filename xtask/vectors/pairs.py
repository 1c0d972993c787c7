"""Keys of which one half signs and the other verifies, by the command `openssl`."""

import base64
import hashlib
import pathlib
import subprocess
import tempfile

# What an Ed25519 key and a P-256 key without its public half begin with in PKCS #8; the number follows.
PKCS8 = {
    "ed25519": "302e020100300506032b657004220420",
    "p256": "304102010030" + "1306072a8648ce3d020106082a8648ce3d030107042730250201010420",
}
RSA = pathlib.Path(__file__).with_name("rsa")

# Signatures that are there already. Of those that chance has a part in, one that is still right is kept.
KEPT = []


def kind(algorithm):
    if algorithm == "ed25519":
        return "ed25519"
    return "p256" if algorithm.startswith("ecdsa") else "rsa"


def run(*arguments, input=b""):
    return subprocess.run(["openssl", *arguments], input=input, check=True, capture_output=True).stdout


class Pair:
    """A private key, always the same for the same seed. Of RSA there are two, in files."""

    def __init__(self, algorithm, seed):
        if kind(algorithm) == "rsa":
            self.pem = (RSA / ("current.pem" if seed.endswith(" current") else "other.pem")).read_text()
            return
        number = hashlib.shake_256(f"hookward vectors {seed}".encode()).digest(32)
        der = bytes.fromhex(PKCS8[kind(algorithm)]) + number
        text = base64.b64encode(der).decode()
        lines = "\n".join(text[at:at + 64] for at in range(0, len(text), 64))
        self.pem = f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n"

    def public(self, spec):
        """The public half as a provider hands it out."""
        der = run("pkey", "-pubout", "-outform", "DER", input=self.pem.encode())
        encoding = spec.get("encoding")
        if encoding is None:
            return run("pkey", "-pubout", input=self.pem.encode()).decode()
        # Of Ed25519 the 32 bytes alone, of the others the whole of what openssl writes.
        number = der[-32:] if len(der) == 44 else der
        text = {"hex": number.hex, "base64": lambda: base64.b64encode(number).decode(),
                "base64url": lambda: base64.urlsafe_b64encode(number).decode(),
                "base64url-unpadded": lambda: base64.urlsafe_b64encode(number).decode().rstrip("=")}[encoding]()
        return spec.get("prefix", "") + text


OPTIONS = {
    "rsa-sha1": ("sha1", []), "rsa-sha256": ("sha256", []), "rsa-sha512": ("sha512", []),
    "ecdsa-p256-sha1": ("sha1", []), "ecdsa-p256": ("sha256", []), "ecdsa-p256-raw": ("sha256", []),
    "rsa-pss-sha256": ("sha256", ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]),
    "rsa-pss-sha512": ("sha512", ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]),
}


def sign(algorithm, pair, signed):
    """A signature. One that chance has a part in is kept from the time before, if it still is one."""
    with tempfile.TemporaryDirectory() as directory:
        key, data, made = (pathlib.Path(directory) / name for name in ("key", "data", "made"))
        key.write_text(pair.pem)
        data.write_bytes(signed)
        if algorithm == "ed25519":
            return run("pkeyutl", "-sign", "-rawin", "-inkey", str(key), "-in", str(data))
        if algorithm not in OPTIONS:
            raise ValueError(f"unknown algorithm {algorithm}")
        digest, options = OPTIONS[algorithm]
        is_by_chance = algorithm.startswith(("ecdsa", "rsa-pss"))
        for kept in KEPT if is_by_chance else []:
            made.write_bytes(der_of(kept) if algorithm == "ecdsa-p256-raw" and len(kept) == 64 else kept)
            look = ["openssl", "dgst", f"-{digest}", *options, "-prverify", str(key), "-signature", str(made), str(data)]
            if subprocess.run(look, capture_output=True).returncode == 0:
                return kept
        found = run("dgst", f"-{digest}", *options, "-sign", str(key), str(data))
        found = raw_of(found) if algorithm == "ecdsa-p256-raw" else found
        KEPT.append(found)
        return found


def raw_of(der):
    """The two numbers of a signature of ECDSA in DER, 32 bytes each."""
    first = der[4:4 + der[3]]
    second = der[4 + der[3] + 2:]
    return first[-32:].rjust(32, b"\0") + second[-32:].rjust(32, b"\0")


def der_of(raw):
    """The other way round."""
    def number(data):
        data = data.lstrip(b"\0") or b"\0"
        data = (b"\0" if data[0] & 0x80 else b"") + data
        return bytes([2, len(data)]) + data

    both = number(raw[:32]) + number(raw[32:])
    return bytes([0x30, len(both)]) + both
