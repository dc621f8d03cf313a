/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Is this packet for a VIP, and if so, what is its flow key? (docs/datapath.md, sections 1 and 2.)
 *
 * A filter, not a judge: it follows the parse rules only as far as it takes to find the service. A packet
 * for a VIP that is wrong further in (TTL 0, bad UDP length) goes to the engine, which counts it and says
 * why it dropped it. A packet in which no service can be found because it is cut short is passed.
 * Fragments and what hides its ports are found by their address, so that all fragments of a datagram reach one worker.
 */
#pragma once
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include "hash.h"
#include "services.h"

#define MAX_VLAN_TAGS 2
#define IPV4_FRAGMENT 0x3fff /* more-fragments flag and fragment offset */
#define IPV6_FRAGMENT 0xfff9 /* fragment offset and more-fragments flag */
#define EXTENSION_UNIT 8
#define TCP_HEADER 20
#define SHORTEST_HEADER 8 /* of UDP, ICMP and ICMPv6 */
#define IPV4_OFFSET 0x1fff /* fragment offset */
#define IPV6_OFFSET 0xfff8
#define MAX_QUOTED_EXTENSIONS 255 /* bytes of extension headers in a packet that an ICMP error quotes */

struct vlan_tag {
	__be16 control;
	__be16 type;
};

/** What the flow key is made of. Source words and port are raw, as loaded. */
struct flow {
	struct service_key service;
	__u64 source[2];
	__u16 source_port;
	/** Of a fragment: what is in its datagram; else 0. */
	__u8 fragment;
	/** Of an ICMP or ICMPv6 message: where it begins in the frame, up to MAX_LAYER4_OFFSET, and its bytes. */
	__u16 icmp;
	__u16 icmp_room;
};

/** Fills in the ports, or the address service for ICMP, from a layer-4 header with `room` bytes. `at`: its place in the frame. */
static __always_inline bool classify_layer4(struct flow *flow, void *l4, void *end, __u32 room, __u32 at,
					    __u8 protocol, __u8 icmp)
{
	__be16 *ports = l4;

	if (room < SHORTEST_HEADER || l4 + SHORTEST_HEADER > end)
		return false;
	flow->service.protocol = protocol;
	if (protocol == icmp) {
		flow->icmp = at;
		flow->icmp_room = room;
		return true;
	}
	if (protocol != IPPROTO_UDP && (protocol != IPPROTO_TCP || room < TCP_HEADER))
		return false;
	flow->source_port = ports[0];
	flow->service.port = ports[1];
	return true;
}

static __always_inline bool classify_ipv4(struct flow *flow, void *l3, void *end, __u32 at)
{
	struct iphdr *ip = l3;

	if (l3 + sizeof(*ip) > end)
		return false;
	__u32 header = ip->ihl * 4, total = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || l3 + header > end || total < header || l3 + total > end)
		return false;
	flow->service.family = 4;
	flow->service.address[0] = ip->daddr;
	flow->source[0] = ip->saddr;
	if (ip->frag_off & bpf_htons(IPV4_FRAGMENT)) {
		flow->service.protocol = IPPROTO_ICMP;
		flow->fragment = ip->protocol;
		return true;
	}
	return classify_layer4(flow, l3 + header, end, total - header, at + header, ip->protocol, IPPROTO_ICMP);
}

static __always_inline bool is_extension(__u8 next)
{
	switch (next) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_AH:
	case IPPROTO_DSTOPTS:
	case 135: /* Mobility */
	case 139: /* Host Identity Protocol */
	case 140: /* Shim6 */
		return true;
	}
	return false;
}

/** First 4 bytes of an extension header, read two ways. */
struct extension_header {
	__u8 next;
	__u8 length;
	union {
		__be16 fragment;
		struct {
			__u8 routing_type;
			__u8 segments_left;
		};
	};
};

/** How a walk ends: a header is cut short; there is one that is not walked; `next` is a fragment header of more than one; it is not. */
enum walked { WALK_TRUNCATED, WALK_REFUSED, WALK_FRAGMENT, WALK_DONE };

/** Walks `room` bytes of extension headers from `at` on, as assembly/extensions.ts does. `*walked` is 0 unless it gets to an end. */
static __always_inline enum walked walk(void *at, void *end, __u32 room, __u32 most, __u8 *next,
					__u32 *walked)
{
	__u32 offset = 0;

#pragma unroll
	for (int headers = 0; headers <= MAX_EXTENSION_HEADERS && is_extension(*next); headers++) {
		struct extension_header *header = at + offset;
		__u32 bytes = EXTENSION_UNIT;

		if (*next == IPPROTO_AH || headers == MAX_EXTENSION_HEADERS)
			return WALK_REFUSED;
		if (room - offset < EXTENSION_UNIT || (void *)header + EXTENSION_UNIT > end)
			return WALK_TRUNCATED;
		if (*next == IPPROTO_FRAGMENT) {
			if (header->fragment & bpf_htons(IPV6_FRAGMENT)) {
				*walked = offset;
				return WALK_FRAGMENT;
			}
		} else {
			if (*next == IPPROTO_ROUTING && header->segments_left != 0)
				return WALK_REFUSED;
			bytes += header->length * EXTENSION_UNIT;
		}
		if (room - offset < bytes)
			return WALK_TRUNCATED;
		if (offset + bytes > most)
			return WALK_REFUSED;
		offset += bytes;
		*next = header->next;
	}
	*walked = offset;
	return WALK_DONE;
}

static __always_inline bool classify_ipv6(struct flow *flow, void *l3, void *end, __u32 at)
{
	struct ipv6hdr *ip = l3;
	__u32 walked = 0, behind = at + sizeof(*ip);

	if (l3 + sizeof(*ip) > end)
		return false;
	__u32 payload = bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || l3 + sizeof(*ip) + payload > end)
		return false;
	flow->service.family = 6;
	__builtin_memcpy(flow->service.address, &ip->daddr, sizeof(ip->daddr));
	__builtin_memcpy(flow->source, &ip->saddr, sizeof(ip->saddr));
	__u8 next = ip->nexthdr;
	enum walked how = walk(l3 + sizeof(*ip), end, payload, MAX_LAYER4_OFFSET - behind, &next, &walked);
	if (how == WALK_TRUNCATED)
		return false;
	if (how != WALK_DONE) {
		struct extension_header *header = l3 + sizeof(*ip) + walked;

		flow->service.protocol = IPPROTO_ICMPV6;
		if (how == WALK_FRAGMENT && behind + walked + EXTENSION_UNIT <= MAX_LAYER4_OFFSET &&
		    (void *)header + EXTENSION_UNIT <= end)
			flow->fragment = header->next;
		return true;
	}
	return classify_layer4(flow, l3 + sizeof(*ip) + walked, end, payload - walked, behind + walked, next,
			       IPPROTO_ICMPV6);
}

/** What an ICMP error says about a packet: its source is the client, its destination where a backend answers from. */
struct quote {
	__u32 client[4];
	__be16 client_port;
	struct service_key origin;
};

/** Reads the ports behind `header` bytes of a quoted packet, of which `room` bytes are there. */
static __always_inline bool quote_ports(struct quote *quote, void *at, void *end, __u32 room, __u32 header,
					__u8 protocol)
{
	__be16 *ports = at + header;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return false;
	if (room < header + SHORTEST_HEADER || (void *)ports + SHORTEST_HEADER > end)
		return false;
	quote->client_port = ports[0];
	quote->origin.port = ports[1];
	quote->origin.protocol = protocol;
	return true;
}

static __always_inline bool quote_ipv4(struct quote *quote, void *at, void *end, __u32 room)
{
	struct iphdr *ip = at;

	if (room < sizeof(*ip) || at + sizeof(*ip) > end)
		return false;
	__u32 header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip) || ip->frag_off & bpf_htons(IPV4_OFFSET))
		return false;
	quote->client[0] = ip->saddr;
	quote->origin.address[0] = ip->daddr;
	return quote_ports(quote, at, end, room, header, ip->protocol);
}

static __always_inline bool quote_ipv6(struct quote *quote, void *at, void *end, __u32 room)
{
	struct ipv6hdr *ip = at;
	__u32 walked = 0;

	if (room < sizeof(*ip) || at + sizeof(*ip) > end || ip->version != 6)
		return false;
	__builtin_memcpy(quote->client, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(quote->origin.address, &ip->daddr, sizeof(ip->daddr));
	__u8 next = ip->nexthdr;
	enum walked how =
		walk(at + sizeof(*ip), end, room - sizeof(*ip), MAX_QUOTED_EXTENSIONS, &next, &walked);
	if (how == WALK_FRAGMENT) {
		struct extension_header *header = at + sizeof(*ip) + walked;

		if ((void *)header + EXTENSION_UNIT > end || header->fragment & bpf_htons(IPV6_OFFSET))
			return false;
		next = header->next;
		walked += EXTENSION_UNIT;
	} else if (how != WALK_DONE) {
		return false;
	}
	return quote_ports(quote, at, end, room, sizeof(*ip) + walked, next);
}

/** Reads what an ICMP error quotes, as assembly/quoted.ts does. */
static __always_inline bool read_quote(struct xdp_md *ctx, const struct flow *flow, struct quote *quote)
{
	void *end = (void *)(long)ctx->data_end;
	__u8 *message = (void *)(long)ctx->data + (flow->icmp & MAX_LAYER4_OFFSET);
	void *at = message + SHORTEST_HEADER;
	__u32 room = flow->icmp_room - SHORTEST_HEADER;

	if (!flow->icmp || at > end)
		return false;
	quote->origin.family = flow->service.family | SERVICE_RETURN;
	__u8 type = *message;
	if (flow->service.family == 4)
		return (type == 3 || type == 11 || type == 12) && quote_ipv4(quote, at, end, room);
	return type >= 1 && type <= 4 && quote_ipv6(quote, at, end, room);
}

static __always_inline bool is_same(const __u32 one[4], const __u32 other[4])
{
	return !((one[0] ^ other[0]) | (one[1] ^ other[1]) | (one[2] ^ other[2]) | (one[3] ^ other[3]));
}

/** The record of an address of this machine; NULL when the packet is for another. */
static __always_inline __u32 *find_own(const struct flow *flow)
{
	struct service_key own = flow->service;

	own.port = 0;
	own.protocol = 0;
	own.family |= SERVICE_OWN;
	return bpf_map_lookup_elem(&services, &own);
}

/** Whether a fragment comes from a backend's address, and by a protocol by which it answers; none is for this machine. */
static __always_inline bool is_sent(const struct flow *flow)
{
	struct service_key sender = {.protocol = flow->fragment, .family = flow->service.family | SERVICE_SENDER};

	__builtin_memcpy(sender.address, flow->source, sizeof(sender.address));
	return bpf_map_lookup_elem(&services, &sender) && !find_own(flow);
}

/**
 * Turns round a flow that is for no service but comes from where a backend answers, or is an ICMP error about a packet that went
 * there: then it is the client's, with the number of its service. Nothing that goes to this machine itself is, ports of checks
 * through the data plane apart. Of a backend's fragments there is the client's address, and no more.
 */
static __always_inline bool turn_round(struct xdp_md *ctx, struct flow *flow, __u32 *number)
{
	struct quote quote = {};
	__u8 protocol = flow->service.protocol;

	if (flow->fragment) {
		if (!is_sent(flow))
			return false;
	} else {
		if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
			__builtin_memcpy(quote.origin.address, flow->source, sizeof(quote.origin.address));
			quote.origin.port = flow->source_port;
			quote.origin.protocol = protocol;
			quote.origin.family = flow->service.family | SERVICE_RETURN;
			quote.client_port = flow->service.port;
		} else if (!read_quote(ctx, flow, &quote) || !is_same(quote.client, flow->service.address)) {
			return false;
		}
		__u32 *found = bpf_map_lookup_elem(&services, &quote.origin);
		if (!found)
			return false;
		__u32 *range = find_own(flow);
		if (range && (__u32)bpf_ntohs(quote.client_port) - (*range & 0xffff) >= *range >> 16)
			return false;
		*number = *found;
	}
	__builtin_memcpy(flow->source, flow->service.address, sizeof(flow->source));
	flow->source_port = quote.client_port;
	return true;
}

/** Whether the packet is for a VIP, or for a client from a backend of one; if so, `*key` is its flow key. */
static __always_inline bool classify(struct xdp_md *ctx, __u64 *key)
{
	void *at = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct flow flow = {};
	struct ethhdr *ether = at;
	__u32 zero = 0;

	if (at + sizeof(*ether) > end)
		return false;
	__be16 type = ether->h_proto;
	at += sizeof(*ether);
#pragma unroll
	for (int i = 0; i < MAX_VLAN_TAGS; i++) {
		struct vlan_tag *tag = at;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if (at + sizeof(*tag) > end)
			return false;
		type = tag->type;
		at += sizeof(*tag);
	}

	__u32 l3 = at - (void *)(long)ctx->data;
	if (type == bpf_htons(ETH_P_IP)) {
		if (!classify_ipv4(&flow, at, end, l3))
			return false;
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		if (!classify_ipv6(&flow, at, end, l3))
			return false;
	} else {
		return false;
	}

	struct secret_words *words = bpf_map_lookup_elem(&secret, &zero);
	bool wide;
	__u32 number = find_service(&flow.service, &wide);
	if (!number) {
		if (!turn_round(ctx, &flow, &number))
			return false;
		wide = false;
	}
	if (!words)
		return false;
	__u64 target = wide ? fold_destination(words, flow.service.address, flow.service.port) : 0;
	*key = flow.service.family == 4 ? key_ipv4(words, flow.source[0], flow.source_port, number, target) :
					  key_ipv6(words, flow.source, flow.source_port, number, target);
	return true;
}
