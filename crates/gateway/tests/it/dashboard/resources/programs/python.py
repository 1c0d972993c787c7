

if __name__ == "__main__":
    import base64
    import sys

    for line in sys.stdin:
        secret, now, body, *rest = line.split()
        pairs = (pair.partition("=") for pair in rest)
        headers = {name: base64.b64decode(value).decode() for name, _, value in pairs}
        found = verify(headers, base64.b64decode(body), base64.b64decode(secret).decode(), int(now))
        print("true" if found else "false")
