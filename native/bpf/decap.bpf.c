// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * XDP programs of the namespace lab (src/lab/). Not part of the balancer.
 *
 *   decap  on a backend: the end of a GRE, IP-in-IP or GUE tunnel, for kernels without such devices
 *   pass   on the switch side of a veth whose other side is a balancer: native XDP transmit on a veth
 *          needs a program on the peer, any program
 *
 * Build (from the repository root):
 *   clang -O2 -g -target bpf -I/usr/include/$(uname -m)-linux-gnu -c native/bpf/decap.bpf.c -o build/decap.bpf.o
 *
 * A frame to decapsulate, and what becomes of it:
 *
 *    0          14
 *    | Ethernet | outer IPv4/IPv6 | shim       | inner IPv4 or IPv6 ...
 *               '---- stripped: 20 to 48 bytes '
 *    | Ethernet, EtherType of the inner packet | inner IPv4 or IPv6 ...
 *
 *   protocol   shim                                                  inner packet's family by
 *   47         GRE, 4 bytes (RFC 2784)                               the header's protocol type
 *   4, 41      none: IPv4 (RFC 2003, RFC 2473), IPv6 (RFC 4213)      the protocol
 *   17         UDP to GUE_PORT, 8 bytes (draft-ietf-intarea-gue §4,  its first 4 bits, of which 01 are
 *              variant 1)                                            the variant
 *
 * Everything else passes untouched: other addresses, fragments, IPv4 options, GRE with checksum, key,
 * sequence or another version (RFC 2784, RFC 2890), other protocol types, UDP with a checksum, which nobody
 * would verify, an inner header that is cut short or of another version than was said.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAGMENT 0x3fff /* more-fragments bit and fragment offset */
#define GUE_PORT 6080

struct gre {
	__be16 flags; /* C, reserved, version: all 0 in a plain header */
	__be16 protocol;
};

/*
 * The addresses of the backend, raw. The lab writes them into a copy of the object, right behind the marker
 * (src/lab/object.ts): nothing else is needed to load it, no map tool and no library.
 */
struct endpoint {
	__u8 marker[16];
	__u8 v4[4];
	__u8 v6[16];
};
volatile const struct endpoint endpoint = {.marker = "guideway-decap-1"};

static __always_inline int is_local4(__be32 address)
{
	__u8 *byte = (__u8 *)&address;
	for (int i = 0; i < 4; i++)
		if (byte[i] != endpoint.v4[i])
			return 0;
	return 1;
}

static __always_inline int is_local6(const struct in6_addr *address)
{
	for (int i = 0; i < 16; i++)
		if (address->s6_addr[i] != endpoint.v6[i])
			return 0;
	return 1;
}

/* The EtherType of the IP packet at `inner`, 0 when there is none. */
static __always_inline __be16 type_of(const void *inner, const void *end)
{
	const struct iphdr *ip = inner;
	if (inner + sizeof(struct iphdr) > end)
		return 0;
	if (ip->version == 4)
		return bpf_htons(ETH_P_IP);
	if (ip->version == 6 && inner + sizeof(struct ipv6hdr) <= end)
		return bpf_htons(ETH_P_IPV6);
	return 0;
}

/* How long the shim at `shim` is, -1 when it is none. `type` becomes what it says of the inner packet, if it says it. */
static __always_inline int shim_bytes(__u8 protocol, const void *shim, const void *end, __be16 *type)
{
	const struct gre *gre = shim;
	const struct udphdr *udp = shim;
	switch (protocol) {
	case IPPROTO_GRE:
		if (shim + sizeof(*gre) > end || gre->flags)
			return -1;
		*type = gre->protocol;
		return sizeof(*gre);
	case IPPROTO_IPIP:
		*type = bpf_htons(ETH_P_IP);
		return 0;
	case IPPROTO_IPV6:
		*type = bpf_htons(ETH_P_IPV6);
		return 0;
	case IPPROTO_UDP:
		if (shim + sizeof(*udp) > end || udp->dest != bpf_htons(GUE_PORT) || udp->check)
			return -1;
		return sizeof(*udp);
	}
	return -1;
}

SEC("xdp")
int decap(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	if ((void *)(ethernet + 1) > end)
		return XDP_PASS;

	__u8 protocol;
	void *shim;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *outer = (void *)(ethernet + 1);
		if ((void *)(outer + 1) > end || outer->version != 4 || outer->ihl != 5)
			return XDP_PASS;
		if ((outer->frag_off & bpf_htons(FRAGMENT)) || !is_local4(outer->daddr))
			return XDP_PASS;
		protocol = outer->protocol;
		shim = outer + 1;
	} else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *outer = (void *)(ethernet + 1);
		if ((void *)(outer + 1) > end || outer->version != 6 || !is_local6(&outer->daddr))
			return XDP_PASS;
		protocol = outer->nexthdr;
		shim = outer + 1;
	} else {
		return XDP_PASS;
	}

	__be16 said = 0;
	int bytes = shim_bytes(protocol, shim, end, &said);
	if (bytes < 0)
		return XDP_PASS;
	__be16 inner = type_of(shim + bytes, end);
	if (!inner || (said && said != inner))
		return XDP_PASS;

	int stripped = shim + bytes - (void *)(ethernet + 1);
	__u8 addresses[2 * ETH_ALEN];
	__builtin_memcpy(addresses, ethernet, sizeof(addresses));
	if (bpf_xdp_adjust_head(context, stripped))
		return XDP_DROP;
	data = (void *)(long)context->data;
	end = (void *)(long)context->data_end;
	ethernet = data;
	if ((void *)(ethernet + 1) > end)
		return XDP_DROP;
	__builtin_memcpy(ethernet, addresses, sizeof(addresses));
	ethernet->h_proto = inner;
	return XDP_PASS;
}

SEC("xdp")
int pass(struct xdp_md *context)
{
	(void)context;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
