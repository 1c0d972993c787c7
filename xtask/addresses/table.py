"""Judges addresses by Python's `ipaddress` and the list below, one line each: the address, and `public` or `refused`.

Written from the registries and not from the product, which `cargo xtask addresses` compares with it. Takes a seed.
"""

import ipaddress
import random
import sys

V4 = ipaddress.IPv4Address
V6 = ipaddress.IPv6Address

# What Python calls global, in this version or in another, and nobody may reach all the same: the reason is the value.
STRICTER = {
    "168.63.129.16/32": "Azure's services for its own machines, a public address",
    "192.0.0.0/24": "IETF protocol assignments, the two anycast addresses in it included",
    "192.31.196.0/24": "AS112: answers nobody's questions, takes nobody's webhooks",
    "192.52.193.0/24": "AMT relays",
    "192.88.99.0/24": "6to4 relays, withdrawn",
    "192.175.48.0/24": "AS112",
    "100.64.0.0/10": "carriers' own; neither private nor global to Python",
    "224.0.0.0/4": "multicast, part of which Python calls global",
    "2001::/23": "IETF protocol assignments, those that are formally reachable included (Teredo, ORCHIDv2, AMT, AS112)",
    "2002::/16": "6to4, withdrawn: leads to an IPv4 address by a stranger's relay",
    "2620:4f:8000::/48": "AS112",
    "64:ff9b:1::/48": "NAT64 of a local network",
    "100:0:0:1::/64": "the dummy prefix",
    "3fff::/20": "documentation; Python learnt of it late",
    "5f00::/16": "segment routing",
    "fec0::/10": "site-local, withdrawn",
    "ff00::/8": "multicast",
    "::/96": "v4-compatible, withdrawn",
    "::ffff:0:0:0/96": "v4-translated",
}
NETWORKS = [ipaddress.ip_network(text) for text in STRICTER]

# Nothing outside this has been given out, and Python calls some of it global.
GIVEN_OUT = ipaddress.ip_network("2000::/3")

# These lead to a public host although they are outside of what was given out.
WAYS_TO_IPV4 = [ipaddress.ip_network("::ffff:0:0/96"), ipaddress.ip_network("64:ff9b::/96")]

SPECIAL = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
    "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    "255.255.255.255/32",
    "::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
    "100:0:0:1::/64", "2000::/3", "2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:2::/48",
    "2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16",
    "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
]


def is_public(address):
    carried = address.ipv4_mapped if address.version == 6 else None
    if carried is None and address.version == 6 and address in WAYS_TO_IPV4[1]:
        carried = V4(int(address) & 0xFFFFFFFF)
    if carried is not None:
        return is_public(carried)
    if any(address.version == network.version and address in network for network in NETWORKS):
        return False
    if address.version == 6 and address not in GIVEN_OUT:
        return False
    # What these carry decides besides, though the list refuses both forms whole.
    if address.version == 6 and address.sixtofour is not None:
        return is_public(address.sixtofour)
    if address.version == 6 and address.teredo is not None:
        return all(is_public(carried) for carried in address.teredo)
    return address.is_global and not address.is_multicast


def embeddings(number, noise):
    """The IPv6 addresses that carry an IPv4 address, the rest of their bits from `noise`."""
    high, low = noise >> 64, noise & (2**64 - 1)
    return [
        0xFFFF << 32 | number,
        0x64FF9B << 96 | number,
        0x64FF9B0001 << 80 | (noise & (2**48 - 1)) << 32 | number,
        number,
        0xFFFF << 48 | number,
        0x2002 << 112 | number << 80 | noise & (2**80 - 1),
        0x20010000 << 96 | number << 64 | low,
        0x20010000 << 96 | (high & 0xFFFFFFFF) << 64 | (low >> 32) << 32 | number ^ 0xFFFFFFFF,
        # Near misses: one bit beside a prefix that carries.
        0xFFFF << 32 | number | 1 << (33 + noise % 80),
        0x64FF9B << 96 | number | 1 << (33 + noise % 60),
    ]


def addresses(chance):
    for block in range(2**16):
        first = block << 16
        yield from (V4(first), V4(first | 0xFFFF), V4(first | chance.getrandbits(16)))
    v4 = []
    for text in SPECIAL:
        network = ipaddress.ip_network(text)
        kind, last = (V4, 2**32 - 1) if network.version == 4 else (V6, 2**128 - 1)
        edges = [int(network.network_address), int(network.broadcast_address)]
        for number in (edges[0] - 1, edges[0], edges[0] + 1, edges[1] - 1, edges[1], edges[1] + 1):
            if 0 <= number <= last:
                yield kind(number)
                v4 += [number] if kind is V4 else []
    # Half of what is carried lies at an edge, where mistakes are.
    for _ in range(100_000):
        number = chance.choice(v4) if chance.random() < 0.5 else chance.getrandbits(32)
        for carrier in embeddings(number, chance.getrandbits(128)):
            yield V6(carrier)
    # And some that carry nothing, most of them where hosts are.
    for _ in range(100_000):
        yield V6(chance.getrandbits(125) | 1 << 125 if chance.random() < 0.7 else chance.getrandbits(128))


def main():
    write = sys.stdout.write
    for address in addresses(random.Random(int(sys.argv[1]))):
        write(f"{address} {'public' if is_public(address) else 'refused'}\n")


main()
