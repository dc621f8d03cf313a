// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * XDP programs of the namespace lab (src/lab/). Not part of the balancer.
 *
 *   decap  on a backend: the end of a GRE tunnel, for kernels without GRE devices
 *   pass   on the switch side of a veth whose other side is a balancer: native XDP transmit on a veth
 *          needs a program on the peer, any program
 *
 * Build (from the repository root):
 *   clang -O2 -g -target bpf -I/usr/include/$(uname -m)-linux-gnu -c native/bpf/decap.bpf.c -o build/decap.bpf.o
 *
 * A frame to decapsulate, and what becomes of it:
 *
 *    0        14                 34 or 54     38 or 58
 *    | Ethernet | outer IPv4/IPv6   | GRE        | inner IPv4 or IPv6 ...
 *               '------ stripped: 24 or 44 bytes ------'
 *    | Ethernet, EtherType = GRE protocol type | inner IPv4 or IPv6 ...
 *
 * Everything else passes untouched: other addresses, fragments, IPv4 options, GRE with checksum, key,
 * sequence or another version (RFC 2784, RFC 2890), other protocol types, an inner header that is cut short.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAGMENT 0x3fff /* more-fragments bit and fragment offset */

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

SEC("xdp")
int decap(struct xdp_md *context)
{
	void *data = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	struct ethhdr *ethernet = data;
	if ((void *)(ethernet + 1) > end)
		return XDP_PASS;

	struct gre *gre;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *outer = (void *)(ethernet + 1);
		if ((void *)(outer + 1) > end || outer->version != 4 || outer->ihl != 5)
			return XDP_PASS;
		if (outer->protocol != IPPROTO_GRE || (outer->frag_off & bpf_htons(FRAGMENT)) || !is_local4(outer->daddr))
			return XDP_PASS;
		gre = (void *)(outer + 1);
	} else if (ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *outer = (void *)(ethernet + 1);
		if ((void *)(outer + 1) > end || outer->version != 6 || outer->nexthdr != IPPROTO_GRE)
			return XDP_PASS;
		if (!is_local6(&outer->daddr))
			return XDP_PASS;
		gre = (void *)(outer + 1);
	} else {
		return XDP_PASS;
	}

	if ((void *)(gre + 1) > end || gre->flags)
		return XDP_PASS;
	__be16 inner = gre->protocol;
	if (inner == bpf_htons(ETH_P_IP)) {
		if ((void *)(gre + 1) + sizeof(struct iphdr) > end)
			return XDP_PASS;
	} else if (inner == bpf_htons(ETH_P_IPV6)) {
		if ((void *)(gre + 1) + sizeof(struct ipv6hdr) > end)
			return XDP_PASS;
	} else {
		return XDP_PASS;
	}

	int stripped = (void *)(gre + 1) - (void *)(ethernet + 1);
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
