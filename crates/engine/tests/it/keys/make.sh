#!/bin/sh
# Makes what a provider has in the tests of published keys: a root that the tests trust, a server for 127.0.0.1 under it, an issuer under
# it, and under that the certificates of one signing key: a good one (port 00000 stands for that of the test), one that ends soon after
# the tests' clock begins, one for somebody else, and one that vouches for itself. Then the key as one of a set. They prove nothing to
# anybody.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
touch "$work/index"
cat >"$work/ca.conf" <<CONF
[ca]
default_ca = test
[test]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
unique_subject = no
policy = policy
[policy]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
subjectAltName = IP:127.0.0.1
extendedKeyUsage = serverAuth
[good]
subjectAltName = DNS:sns.amazonaws.com
extendedKeyUsage = serverAuth, clientAuth
authorityInfoAccess = caIssuers;URI:http://127.0.0.1:00000/issuer.cer
[other]
subjectAltName = DNS:s3.amazonaws.com
extendedKeyUsage = serverAuth, clientAuth
CONF
key() { openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1"; }
sign() { # KEY SUBJECT SECTION NOT_BEFORE NOT_AFTER OUT [SIGNER…]
    openssl req -new -config "$work/ca.conf" -key "$1" -subj "/CN=$2" -out "$work/request"
    section=$3 from=$4 to=$5 out=$6
    shift 6
    openssl ca -batch -notext -config "$work/ca.conf" -extensions "$section" -startdate "$from" -enddate "$to" \
        -in "$work/request" -out "$out" "$@"
}
FROM=20230101000000Z TO=21230101000000Z
key "$work/root.key"
sign "$work/root.key" 'Hookward test keys' authority $FROM $TO root.pem -keyfile "$work/root.key" -selfsign
key server.key
sign server.key 127.0.0.1 server $FROM $TO server.pem -cert root.pem -keyfile "$work/root.key"
key issuer.key
sign issuer.key 'Hookward test issuer' authority $FROM $TO issuer.pem -cert root.pem -keyfile "$work/root.key"
key signer.key
sign signer.key sns.amazonaws.com good $FROM $TO good.pem -cert issuer.pem -keyfile issuer.key
sign signer.key sns.amazonaws.com good $FROM 20231115000000Z ending.pem -cert issuer.pem -keyfile issuer.key
sign signer.key s3.amazonaws.com other $FROM $TO other.pem -cert issuer.pem -keyfile issuer.key
sign signer.key sns.amazonaws.com good $FROM $TO own.pem -keyfile signer.key -selfsign
jwk() { # KEY: the public half without its braces
    openssl rsa -in "$1" -noout -modulus | python3 -c 'import base64, sys
print("\"kty\": \"RSA\", \"e\": \"AQAB\", \"n\": \"" + base64.urlsafe_b64encode(bytes.fromhex(sys.stdin.read().strip().split("=")[1])).decode().rstrip("=") + "\"")'
}
jwk signer.key >signer.jwk
