#!/bin/sh
# Makes the certificates of the TLS tests: a root, and under it one certificate for `receiver.test` and one that has
# expired, and one that vouches for itself; a root of clients, a client's certificate under it, and one of a stranger's own
# making. They prove nothing to anybody: the roots are trusted by the tests only.
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
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[leaf]
subjectAltName = DNS:receiver.test
extendedKeyUsage = serverAuth
[client]
extendedKeyUsage = clientAuth
CONF
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
sign() { # KEY SUBJECT SECTION NOT_BEFORE NOT_AFTER OUT [SIGNER…]
    openssl req -new -config "$work/ca.conf" -key "$1" -subj "/CN=$2" -out "$work/request"
    section=$3 from=$4 to=$5 out=$6
    shift 6
    openssl ca -batch -notext -config "$work/ca.conf" -extensions "$section" -startdate "$from" -enddate "$to" \
        -in "$work/request" -out "$out" -keyfile "$work/root.key" "$@"
}
key "$work/root.key"
key server.key
sign "$work/root.key" 'Hookward test root' root 20250101000000Z 21250101000000Z root.pem -selfsign
sign server.key receiver.test leaf 20250101000000Z 21250101000000Z server.pem -cert root.pem
sign server.key receiver.test leaf 20250101000000Z 20250102000000Z expired.pem -cert root.pem
key "$work/clients.key"
key client.key
key stranger.key
sign "$work/clients.key" 'Hookward test clients' root 20250101000000Z 21250101000000Z clients.pem \
    -keyfile "$work/clients.key" -selfsign
sign client.key sender.test client 20250101000000Z 21250101000000Z client.pem -cert clients.pem -keyfile "$work/clients.key"
sign stranger.key stranger.test client 20250101000000Z 21250101000000Z stranger.pem -keyfile stranger.key -selfsign
openssl req -x509 -key server.key -subj '/CN=receiver.test' -addext 'subjectAltName=DNS:receiver.test' \
    -addext 'basicConstraints=critical,CA:FALSE' -days 36500 -out self-signed.pem
