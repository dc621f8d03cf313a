"""An outside oracle for what leaves the engine: Scapy builds the packets that come, and says what each should have become.

    scapy_oracle.py build SEED COUNT VIPS   packets to the VIPs (JSON: [{"address", "protocol", "port"}]), one hex line each
    scapy_oracle.py check                   cases on stdin, a JSON object a line; what is wrong with each, one line each ("" when nothing)

Scapy computes every length and checksum itself: expectations are built from fields, never taken from what the engine wrote.
Exceptions are values that only the engine can know: the UDP source port of GUE and the identification of fragments.
"""

import json
import random
import sys

from scapy.config import conf
from scapy.layers.inet import GRE, ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

conf.ipv6_enabled = True
OWN_MAC = "02:bb:00:00:00:01"
CLIENT_MAC = "02:aa:00:00:00:01"
MTU = 1500
GUE_PORT = 6080


def build(seed, count, vips):
    rng = random.Random(seed)
    for _ in range(count):
        vip = rng.choice(vips)
        v6 = ":" in vip["address"]
        traffic_class = rng.randrange(256)
        hops = rng.choice([2, 3, 64, 255])
        if v6:
            network = IPv6(src="2001:db8::%x" % rng.randrange(1, 65535), dst=vip["address"], tc=traffic_class, hlim=hops, fl=rng.randrange(1 << 20))
        else:
            network = IP(
                src="192.0.2.%d" % rng.randrange(1, 255), dst=vip["address"], tos=traffic_class, ttl=hops,
                id=rng.randrange(65536), flags=rng.choice(["", "DF"]),
            )
        port = rng.randrange(1024, 65536)
        if rng.randrange(12) == 0:
            data = bytes(rng.randrange(256) for _ in range(rng.randrange(64)))
            echo = ICMPv6EchoRequest(id=port, seq=7, data=data) if v6 else ICMP(type=8, id=port, seq=7) / Raw(data)
            transport = echo
        elif vip["protocol"] == "udp":
            transport = UDP(sport=port, dport=vip["port"])
            if not v6 and rng.randrange(4) == 0:
                transport.chksum = 0
        else:
            options = rng.choice([[], [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (rng.randrange(1 << 32), 0)), ("NOP", None), ("WScale", 7)]])
            transport = TCP(sport=port, dport=vip["port"], flags=rng.choice(["S", "A", "PA", "FA", "R"]), seq=rng.randrange(1 << 32), options=options)
        size = rng.choice([0, 1, 6, 7, 64, 512, 1380, 1400, 1430, 1440])
        payload = bytes(rng.randrange(256) for _ in range(size))
        link = Ether(dst=OWN_MAC, src=CLIENT_MAC)
        if rng.randrange(6) == 0:
            link = link / Dot1Q(vlan=rng.randrange(1, 4095), prio=rng.randrange(8))
        frame = bytes(link / network / transport / Raw(payload))
        print(frame[: 14 + 4 + MTU].hex() if len(frame) <= 14 + 4 + MTU else bytes(link / network / transport).hex())


def rebuilt(layer):
    """The same fields, with every length and checksum computed anew."""
    copy = layer.copy()
    at = copy
    while at:
        for name in ("len", "plen", "chksum", "cksum", "ihl", "dataofs"):
            if name in at.fields and not (isinstance(at, UDP) and name == "chksum" and at.chksum == 0):
                del at.fields[name]
        at = at.payload if at.payload else None
    return copy


def network_of(frame):
    return frame.getlayer(IP) if IP in frame else frame.getlayer(IPv6)


def link_of(frame, source, destination):
    """The link's header and tags, with other addresses."""
    link = Ether(src=source, dst=destination)
    return link / Dot1Q(prio=frame[Dot1Q].prio, vlan=frame[Dot1Q].vlan) if Dot1Q in frame else link


def inner_bytes(frame):
    network = network_of(frame)
    length = network.len if isinstance(network, IP) else 40 + network.plen
    return bytes(network)[:length]


def outer_of(case, frame, sent):
    """The packet in its tunnel, whole."""
    inner = inner_bytes(frame)
    network = network_of(frame)
    traffic_class = network.tos if isinstance(network, IP) else network.tc
    backend = case["backend"]["address"]
    ip6 = ":" in backend
    inner_layer = type(network)(inner)
    between = {"gre": lambda: GRE() / inner_layer, "ipip": lambda: inner_layer}.get(case["mode"])
    if between is None:
        raw = bytes(network_of(sent).payload)
        if IPv6ExtHdrFragment in sent:
            raw = raw[8:]
        udp = UDP(sport=int.from_bytes(raw[:2], "big"), dport=GUE_PORT, chksum=0, len=8 + len(inner))
        if udp.sport < 0xC000:
            raise ValueError("source port %d" % udp.sport)
        payload = udp / Raw(inner)
    else:
        payload = between()
    protocol = {"gre": 47, "ipip": 4 if isinstance(network, IP) else 41, "gue": 17}[case["mode"]]
    if ip6:
        return IPv6(src=case["source6"], dst=backend, tc=traffic_class, hlim=64, nh=protocol) / payload
    return IP(src=case["source"], dst=backend, tos=traffic_class, ttl=64, id=0, flags="DF", proto=protocol) / payload


def check_fragments(whole, sent, link):
    """Fragments that make up a packet, each no larger than the MTU."""
    bytes_ = bytes(whole)
    header = 20 if isinstance(whole, IP) else 40
    payload = bytes_[header:]
    at = 0
    identification = sent[0][IP].id if isinstance(whole, IP) else sent[0][IPv6ExtHdrFragment].id
    for i, frame in enumerate(sent):
        last = i == len(sent) - 1
        if isinstance(whole, IP):
            piece = frame[IP]
            size = piece.len - 20
            expected = IP(src=whole.src, dst=whole.dst, tos=whole.tos, ttl=whole.ttl, proto=whole.proto, id=identification,
                          flags=0 if last else "MF", frag=at // 8) / Raw(payload[at : at + size])
        else:
            piece = frame[IPv6]
            size = piece.plen - 8
            expected = IPv6(src=whole.src, dst=whole.dst, tc=whole.tc, hlim=whole.hlim, nh=44) / IPv6ExtHdrFragment(
                nh=whole.nh, offset=at // 8, m=0 if last else 1, id=identification) / Raw(payload[at : at + size])
        if bytes(link / expected) != bytes(frame):
            return "fragment %d: expected %s" % (i, bytes(link / expected).hex())
        if len(expected) > MTU or (not last and size % 8):
            return "fragment %d: %d bytes of payload" % (i, size)
        at += size
    return "" if at == len(payload) else "%d bytes of %d" % (at, len(payload))


def too_big_reply(case, frame):
    network = network_of(frame)
    overhead = case["overhead"]
    inner = inner_bytes(frame)
    back = link_of(frame, OWN_MAC, CLIENT_MAC)
    if isinstance(network, IP):
        reply = IP(src=network.dst, dst=network.src, tos=0xC0, ttl=64, id=0, flags="DF", proto=1) / ICMP(
            type=3, code=4, nexthopmtu=MTU - overhead) / Raw(inner[: 576 - 28])
    else:
        reply = IPv6(src=network.dst, dst=network.src, hlim=64, nh=58) / ICMPv6PacketTooBig(mtu=MTU - overhead) / Raw(inner[: 1280 - 48])
    return back / reply


def expected_frame(case, frame, sent):
    reason, mode, backend = case["reason"], case["mode"], case.get("backend")
    if reason == "too-big-replied":
        return too_big_reply(case, frame)
    if reason == "echo":
        network = network_of(frame).__class__(inner_bytes(frame))
        network.src, network.dst = network.dst, network.src
        if isinstance(network, IP):
            network.ttl = 64
            network[ICMP].type = 0
            return link_of(frame, OWN_MAC, CLIENT_MAC) / rebuilt(network)
        request = network[ICMPv6EchoRequest]
        reply = ICMPv6EchoReply(id=request.id, seq=request.seq, data=request.data)
        header = IPv6(src=network.src, dst=network.dst, tc=network.tc, fl=network.fl, hlim=64)
        return link_of(frame, OWN_MAC, CLIENT_MAC) / header / reply
    out = link_of(frame, OWN_MAC, backend["mac"])
    if mode == "l2":
        return out / Raw(bytes(network_of(frame)))
    if mode == "nat":
        network = network_of(frame).copy()
        network.dst = backend["address"]
        if isinstance(network, IP):
            network.ttl -= 1
        else:
            network.hlim -= 1
        transport = network.getlayer(TCP) or network.getlayer(UDP)
        if backend.get("port"):
            transport.dport = backend["port"]
        return out / rebuilt(network)
    return out / outer_of(case, frame, sent)


def check(case):
    frame = Ether(bytes.fromhex(case["in"]))
    sent = [Ether(bytes.fromhex(each)) for each in case["out"]]
    if len(sent) > 1:
        link = link_of(frame, OWN_MAC, case["backend"]["mac"])
        link.lastlayer().type = 0x86DD if ":" in case["backend"]["address"] else 0x0800
        return check_fragments(outer_of(case, frame, sent[0]), sent, link)
    expected = expected_frame(case, frame, sent[0])
    if case["mode"] == "l2" and case["reason"] != "echo" and case["reason"] != "too-big-replied":
        link_bytes = bytes(expected)[:12] + bytes(frame)[12:]
        return "" if link_bytes == bytes(sent[0]) else "expected %s" % link_bytes.hex()
    want = bytes(expected)
    return "" if want == bytes.fromhex(case["out"][0]) else "expected %s" % want.hex()


if sys.argv[1] == "build":
    build(int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4]))
else:
    for line in sys.stdin:
        case = json.loads(line)
        try:
            print(check(case))
        except Exception as problem:  # Whatever Scapy cannot read is wrong, too.
            print("%s: %s" % (type(problem).__name__, problem))
